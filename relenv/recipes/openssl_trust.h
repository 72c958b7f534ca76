/*
 * Which certificate authorities are trusted by default, chosen where a program runs: distributions differ, and a
 * machine may have none. Included by x509_def.c of OpenSSL, whose X509_get_default_cert_file() returns what
 * trusted_file() does. SSL_CERT_FILE and SSL_CERT_DIR win over all of it, as ever.
 */
#include <ctype.h>
#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal/common.h"
#include "internal/thread_once.h"
#include <openssl/x509.h>

static const char *const trusted_files[] = {
    "/etc/ssl/certs/ca-certificates.crt",                /* Debian and its kin, without rehashed links */
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Fedora, RHEL and its kin, since 6 */
    "/etc/pki/tls/certs/ca-bundle.crt",                  /* older ones, Amazon Linux */
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/ca-bundle.pem",                            /* SUSE */
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/etc/ssl/certs/ca-bundle.crt",                      /* NixOS, Arch */
    "/etc/ca-certificates/extracted/tls-ca-bundle.pem",  /* Arch */
};

static char trusted[PATH_MAX];

/* A directory of links named by hash, as c_rehash makes them, is searched when a certificate is needed. */
static int is_hashed(const char *path)
{
    struct dirent *entry;
    int found = 0, at;
    DIR *folder = opendir(path);

    if (folder == NULL)
        return 0;
    while (!found && (entry = readdir(folder)) != NULL) {
        for (at = 0; at < 8 && isxdigit((unsigned char)entry->d_name[at]); at++)
            ;
        found = at == 8 && entry->d_name[8] == '.' && isdigit((unsigned char)entry->d_name[9]);
    }
    closedir(folder);
    return found;
}

/* <tree>/etc/ssl/cert.pem, for the libcrypto that is <tree>/lib/libcrypto.so.3 */
static int is_bundled(char *path)
{
    static const char name[] = "/etc/ssl/cert.pem";
    Dl_info place;
    char *slash;
    int up;

    if (!dladdr((void *)X509_get_default_cert_file, &place) || realpath(place.dli_fname, path) == NULL)
        return 0;
    for (up = 0; up < 2; up++) {
        if ((slash = strrchr(path, '/')) == NULL)
            return 0;
        *slash = '\0';
    }
    if (strlen(path) + sizeof name > PATH_MAX)
        return 0;
    strcat(path, name);
    return access(path, R_OK) == 0;
}

static CRYPTO_ONCE trust_once = CRYPTO_ONCE_STATIC_INIT;
DEFINE_RUN_ONCE_STATIC(choose_trust)
{
    char path[PATH_MAX];
    size_t at;

    strcpy(trusted, X509_CERT_FILE);
    if (access(X509_CERT_FILE, R_OK) == 0 || is_hashed(X509_CERT_DIR))
        return 1;
    for (at = 0; at < sizeof trusted_files / sizeof *trusted_files; at++)
        if (access(trusted_files[at], R_OK) == 0) {
            strcpy(trusted, trusted_files[at]);
            return 1;
        }
    if (is_bundled(path))
        strcpy(trusted, path);
    return 1;
}

static const char *trusted_file(void)
{
    return RUN_ONCE(&trust_once, choose_trust) ? trusted : X509_CERT_FILE;
}
