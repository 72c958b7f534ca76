/* ip(7), ipv6(7) */
#include_next <netinet/in.h>
#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef IPV6_RECVPATHMTU
#define IPV6_RECVPATHMTU 60
#endif
#ifndef IPV6_PATHMTU
#define IPV6_PATHMTU 61
#endif
#ifndef IPV6_DONTFRAG
#define IPV6_DONTFRAG 62
#endif
