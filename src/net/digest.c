/* SPDX-License-Identifier: Apache-2.0 */

#include "digest.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/gnutls_lib.h"

enum { DIGEST_BYTES = 32 };

static void write_hex(const unsigned char digest[static DIGEST_BYTES], char ret[static WEIR_SHA256_HEX_SIZE])
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        ret[2 * i] = hex[digest[i] >> 4];
        ret[2 * i + 1] = hex[digest[i] & 15];
    }
    ret[2 * DIGEST_BYTES] = '\0';
}

void weir_sha256_hex(struct weir_sv bytes, char ret[static WEIR_SHA256_HEX_SIZE])
{
    unsigned char digest[DIGEST_BYTES];
    (void)weir_gnutls.gnutls_hash_fast(GNUTLS_DIG_SHA256, bytes.p, bytes.n, digest);
    write_hex(digest, ret);
}

void weir_hmac_sha256_hex(struct weir_sv key, struct weir_sv bytes, char ret[static WEIR_SHA256_HEX_SIZE])
{
    unsigned char digest[DIGEST_BYTES];
    (void)weir_gnutls.gnutls_hmac_fast(GNUTLS_MAC_SHA256, key.p, key.n, bytes.p, bytes.n, digest);
    write_hex(digest, ret);
}

static int fail_errno(const char *path, struct weir_err *err)
{
    return weir_fail(err, weir_error_from_errno(errno), "%s: %s", path, weir_error_text(weir_error_from_errno(errno)));
}

int weir_sha256_file(const char *path, char ret[static WEIR_SHA256_HEX_SIZE], uint64_t *ret_bytes, struct weir_err *err)
{
    struct stat st;
    WEIR_CLEANUP(weir_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        return fail_errno(path, err);
    }
    int r = weir_gnutls_init(err);
    if (r < 0) {
        return r;
    }
    size_t n = (size_t)st.st_size;
    /* Nothing can be mapped of an empty file. */
    void *p = n == 0 ? NULL : mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) {
        return fail_errno(path, err);
    }
    weir_sha256_hex((struct weir_sv){n == 0 ? "" : p, n}, ret);
    *ret_bytes = n;
    if (n > 0) {
        (void)munmap(p, n);
    }
    return 0;
}
