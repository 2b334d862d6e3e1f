/* SPDX-License-Identifier: Apache-2.0 */

#include "digest.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/gnutls_lib.h"

void weir_hex(const unsigned char *bytes, size_t n, char *ret)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        ret[2 * i] = hex[bytes[i] >> 4];
        ret[2 * i + 1] = hex[bytes[i] & 15];
    }
    ret[2 * n] = '\0';
}

void weir_sha256_hex(struct weir_sv bytes, char ret[static WEIR_SHA256_HEX_SIZE])
{
    unsigned char digest[WEIR_SHA256_BYTES];
    (void)weir_gnutls.gnutls_hash_fast(GNUTLS_DIG_SHA256, bytes.p, bytes.n, digest);
    weir_hex(digest, sizeof digest, ret);
}

void weir_hmac_sha256(struct weir_sv key, struct weir_sv text, unsigned char ret[static WEIR_SHA256_BYTES])
{
    (void)weir_gnutls.gnutls_hmac_fast(GNUTLS_MAC_SHA256, key.p, key.n, text.p, text.n, ret);
}

void weir_hmac_sha256_hex(struct weir_sv key, struct weir_sv bytes, char ret[static WEIR_SHA256_HEX_SIZE])
{
    unsigned char digest[WEIR_SHA256_BYTES];
    weir_hmac_sha256(key, bytes, digest);
    weir_hex(digest, sizeof digest, ret);
}

static int fail_errno(const char *path, struct weir_err *err)
{
    return weir_fail(err, weir_error_from_errno(errno), "%s: %s", path, weir_error_text(weir_error_from_errno(errno)));
}

int weir_sha256_fd(int fd, const char *path, char ret[static WEIR_SHA256_HEX_SIZE], uint64_t *ret_bytes, struct weir_err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0) {
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

int weir_sha256_file(const char *path, char ret[static WEIR_SHA256_HEX_SIZE], uint64_t *ret_bytes, struct weir_err *err)
{
    WEIR_CLEANUP(weir_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? fail_errno(path, err) : weir_sha256_fd(fd, path, ret, ret_bytes, err);
}
