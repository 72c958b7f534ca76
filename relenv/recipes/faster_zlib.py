"""What makes zlib faster and leaves its output as it is, byte for byte: more than a byte or two is read at a time.

The edits of deflate and inflate are for a little-endian machine with eight-byte registers that reads from any address.
"""

from __future__ import annotations

from relenv.recipes.model import Replace, Step

_MATCH = """\
        scan++, match++;
        do {
        } while (*(ushf*)(scan += 2) == *(ushf*)(match += 2) &&
                 *(ushf*)(scan += 2) == *(ushf*)(match += 2) &&
                 *(ushf*)(scan += 2) == *(ushf*)(match += 2) &&
                 *(ushf*)(scan += 2) == *(ushf*)(match += 2) &&
                 scan < strend);
        /* The funny "do {}" generates better code on most compilers */

        /* Here, scan <= window + strstart + 257 */
        Assert(scan <= s->window + (unsigned)(s->window_size - 1),
               "wild scan");
        if (*scan == *match) scan++;

        len = (MAX_MATCH - 1) - (int)(strend - scan);
        scan = strend - (MAX_MATCH-1);
"""
# The last read ends with scan[258], one byte more than a match may have: the window has MIN_LOOKAHEAD (262) bytes
# from scan on.
_MATCH_BY_EIGHT = """\
        /* eight bytes at a time: the lowest bit that differs is in the first byte that does */
        len = 3;
        do {
            unsigned long ours, theirs;
            zmemcpy(&ours, scan + len, 8);
            zmemcpy(&theirs, match + len, 8);
            if (ours != theirs) {
                len += __builtin_ctzl(ours ^ theirs) >> 3;
                break;
            }
            len += 8;
        } while (len < MAX_MATCH);
        if (len > MAX_MATCH) len = MAX_MATCH;
"""

_REFILL = """\
        if (bits < 15) {
            hold += (unsigned long)(*in++) << bits;
            bits += 8;
            hold += (unsigned long)(*in++) << bits;
            bits += 8;
        }
        here = lcode + (hold & lmask);
"""
# inflate_fast may read six bytes for a length and its distance: with four at the start, two are enough for the rest
_REFILL_BY_FOUR = """\
        if (bits < 15) {
            unsigned int more;
            zmemcpy(&more, in, 4);
            hold += (unsigned long)more << bits;
            in += 4;
            bits += 32;
        }
        here = lcode + (hold & lmask);
"""

FASTER: tuple[Step, ...] = (
    Replace(path="{src}/deflate.c", old=_MATCH, new=_MATCH_BY_EIGHT),
    Replace(path="{src}/inffast.c", old=_REFILL, new=_REFILL_BY_FOUR),
    # measured, as are FLAGS: crc32 gains by each of the three
    Replace(
        path="{src}/crc32.c",
        old='#include "zutil.h" ',
        new='#pragma GCC optimize ("O3,unroll-loops,no-schedule-insns2")\n#include "zutil.h" ',
    ),
)
"""The steps, before configure. Sources: zlib's deflate.c, inffast.c, crc32.c."""

FLAGS = "-O2 -fPIC -pipe -fno-semantic-interposition -ftree-loop-vectorize -fvect-cost-model=dynamic -DUNALIGNED_OK"
"""What to compile it with: -O3 makes deflate slower, and unrolled loops inflate; of what GCC 12 adds to -O2, vectorised
loops help; UNALIGNED_OK selects the code in deflate that is edited."""
