/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weir's own certificate authority; see tls.h. Keys are written before the certificates that need
 * them, each file under a temporary name first, so that a crash at any point leaves either a whole
 * pair or one that the next start completes or makes anew.
 */

#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/tls_priv.h"

enum {
    AUTHORITY_DAYS = 3650,
    SERVER_DAYS = 365,
    RENEW_DAYS = 30,
    SKEW_DAYS = 1, /* certificates begin a day early, for hosts whose clocks are behind */
    SERIAL_BYTES = 16,
    NAMES_MAX = 64,
};

static const char ca_file[] = "ca.pem";
static const char ca_key_file[] = "ca-key.pem";
static const char server_file[] = "server.pem";
static const char server_key_file[] = "server-key.pem";

void tls_pair_release(struct tls_pair *p)
{
    if (p->crt != NULL) {
        weir_gnutls.gnutls_x509_crt_deinit(p->crt);
    }
    if (p->key != NULL) {
        weir_gnutls.gnutls_x509_privkey_deinit(p->key);
    }
    if (p->key_pem != NULL) {
        explicit_bzero(p->key_pem, strlen(p->key_pem));
    }
    free(p->crt_pem);
    free(p->key_pem);
    *p = (struct tls_pair){0};
}

void weir_tls_files_release(struct weir_tls_files *f)
{
    if (f->key_pem != NULL) {
        explicit_bzero(f->key_pem, strlen(f->key_pem));
    }
    free(f->ca_pem);
    free(f->cert_pem);
    free(f->key_pem);
    *f = (struct weir_tls_files){0};
}

static void random_bytes(void *p, size_t n)
{
    unsigned char *at = p;
    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);
        WEIR_ASSERT(got > 0 || errno == EINTR);
        if (got > 0) {
            at += got;
            n -= (size_t)got;
        }
    }
}

void weir_random_hex(char *buf, size_t n)
{
    static const char digit[] = "0123456789abcdef";
    unsigned char *raw = (unsigned char *)buf + n; /* the upper half, consumed as buf fills */
    random_bytes(raw, n);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = raw[i];
        buf[2 * i] = digit[c >> 4];
        buf[2 * i + 1] = digit[c & 15];
    }
    buf[2 * n] = 0;
}

/* ---- files ---- */

static int
fail_errno(struct weir_err *err, const char *what, const char *dir, const char *name, int e)
{
    int code = e == ENOSPC || e == EDQUOT ? -WEIR_ENOSPACE : -WEIR_EIO;
    return weir_fail(err, code, "%s %s/%s: %s", what, dir, name, strerror(e));
}

static const char *remedy(const char *name)
{
    bool is_server = weir_streq(name, server_file) || weir_streq(name, server_key_file);
    return is_server ? "remove it, and it will be made anew" : "restore it from a backup";
}

/* *ret stays NULL where the file is absent. */
int
tls_read_file(const char *dir, int dir_fd, const char *name, char **ret, struct weir_err *err)
{
    WEIR_CLEANUP(weir_closep) int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? 0 : fail_errno(err, "reading", dir, name, errno);
    }
    WEIR_CLEANUP(weir_freep) char *text = weir_alloc(TLS_PEM_BYTES_MAX + 1);
    size_t n = 0;
    while (n < TLS_PEM_BYTES_MAX) {
        ssize_t got = read(fd, text + n, TLS_PEM_BYTES_MAX - n);
        if (got < 0 && errno != EINTR) {
            return fail_errno(err, "reading", dir, name, errno);
        }
        if (got == 0) {
            break;
        }
        n += got > 0 ? (size_t)got : 0;
    }
    if (n == TLS_PEM_BYTES_MAX || n == 0 || memchr(text, 0, n) != NULL) {
        return weir_fail(
            err, -WEIR_ECORRUPT, "%s/%s is not a PEM file; %s", dir, name, remedy(name));
    }
    *ret = WEIR_TAKE(text);
    return 0;
}

static int write_temporary(int dir_fd, const char *temporary, const char *text, mode_t mode)
{
    (void)unlinkat(dir_fd, temporary, 0);
    WEIR_CLEANUP(weir_closep)
    int fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0 || fchmod(fd, mode) < 0) { /* whatever the umask is */
        return errno;
    }
    size_t n = strlen(text);
    while (n > 0) {
        ssize_t w = write(fd, text, n);
        if (w < 0 && errno != EINTR) {
            return errno;
        }
        if (w > 0) {
            text += w;
            n -= (size_t)w;
        }
    }
    return fsync(fd) < 0 ? errno : 0;
}

int tls_write_file(const char *dir,
                      int dir_fd,
                      const char *name,
                      const char *text,
                      mode_t mode,
                      struct weir_err *err)
{
    char temporary[64];
    (void)snprintf(temporary, sizeof(temporary), ".%s.tmp", name);
    int e = write_temporary(dir_fd, temporary, text, mode);
    if (e == 0 && (renameat(dir_fd, temporary, dir_fd, name) < 0 || fsync(dir_fd) < 0)) {
        e = errno;
    }
    if (e != 0) {
        (void)unlinkat(dir_fd, temporary, 0);
        return fail_errno(err, "writing", dir, name, e);
    }
    return 0;
}

/* ---- GnuTLS ---- */

int tls_fail_tls(struct weir_err *err, const char *what, int e)
{
    return weir_fail(err, -WEIR_EIO, "%s: %s", what, weir_gnutls.gnutls_strerror(e));
}

static int parse_crt(
    const char *dir, const char *name, char *pem, gnutls_x509_crt_t *ret, struct weir_err *err)
{
    gnutls_datum_t d = {(unsigned char *)pem, (unsigned)strlen(pem)};
    gnutls_x509_crt_t crt = NULL;
    int e = weir_gnutls.gnutls_x509_crt_init(&crt);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_crt_import(crt, &d, GNUTLS_X509_FMT_PEM);
    if (e < 0) {
        if (crt != NULL) {
            weir_gnutls.gnutls_x509_crt_deinit(crt);
        }
        return weir_fail(err,
                         -WEIR_ECORRUPT,
                         "%s/%s is not a certificate (%s); %s",
                         dir,
                         name,
                         weir_gnutls.gnutls_strerror(e),
                         remedy(name));
    }
    *ret = crt;
    return 0;
}

int tls_parse_key(
    const char *dir, const char *name, char *pem, gnutls_x509_privkey_t *ret, struct weir_err *err)
{
    gnutls_datum_t d = {(unsigned char *)pem, (unsigned)strlen(pem)};
    gnutls_x509_privkey_t key = NULL;
    int e = weir_gnutls.gnutls_x509_privkey_init(&key);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_privkey_import2(key, &d, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (e < 0) {
        if (key != NULL) {
            weir_gnutls.gnutls_x509_privkey_deinit(key);
        }
        return weir_fail(err,
                         -WEIR_ECORRUPT,
                         "%s/%s is not a private key (%s); %s",
                         dir,
                         name,
                         weir_gnutls.gnutls_strerror(e),
                         remedy(name));
    }
    *ret = key;
    return 0;
}

int tls_make_key(struct tls_pair *p, struct weir_err *err)
{
    int e = weir_gnutls.gnutls_x509_privkey_init(&p->key);
    unsigned bits = GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_privkey_generate(p->key, GNUTLS_PK_ECDSA, bits, 0);
    gnutls_datum_t pem = {NULL, 0};
    e = e < 0 ? e
              : weir_gnutls.gnutls_x509_privkey_export2_pkcs8(
                    p->key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &pem);
    if (e < 0) {
        return tls_fail_tls(err, "making a TLS key", e);
    }
    p->key_pem = weir_strndup((const char *)pem.data, pem.size);
    explicit_bzero(pem.data, pem.size);
    (*weir_gnutls.gnutls_free)(pem.data);
    return 0;
}

static int add_name(gnutls_x509_crt_t crt, const char *name)
{
    unsigned char ip[16];
    unsigned n = inet_pton(AF_INET, name, ip) == 1    ? 4
                 : inet_pton(AF_INET6, name, ip) == 1 ? 16
                                                      : 0;
    if (n > 0) {
        return weir_gnutls.gnutls_x509_crt_set_subject_alt_name(
            crt, GNUTLS_SAN_IPADDRESS, ip, n, GNUTLS_FSAN_APPEND);
    }
    return weir_gnutls.gnutls_x509_crt_set_subject_alt_name(
        crt, GNUTLS_SAN_DNSNAME, name, (unsigned)strlen(name), GNUTLS_FSAN_APPEND);
}

/* What both kinds of certificate have. */
int tls_fill_common(const struct tls_pair *p, const char *cn, struct weir_wall now, struct weir_dur life)
{
    unsigned char serial[SERIAL_BYTES];
    random_bytes(serial, sizeof(serial));
    serial[0] = (unsigned char)((serial[0] & 0x3f) | 0x40); /* positive, of full length */
    time_t now_s = (time_t)(now.us / WEIR_US_PER_S);
    const time_t day_s = 86400;
    unsigned char id[64];
    size_t id_n = sizeof(id);
    int e = weir_gnutls.gnutls_x509_crt_set_version(p->crt, 3);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_crt_set_serial(p->crt, serial, sizeof(serial));
    e = e < 0 ? e
              : weir_gnutls.gnutls_x509_crt_set_dn_by_oid(
                    p->crt, GNUTLS_OID_X520_COMMON_NAME, 0, cn, (unsigned)strlen(cn));
    e = e < 0 ? e : weir_gnutls.gnutls_x509_crt_set_activation_time(p->crt, now_s - SKEW_DAYS * day_s);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_crt_set_expiration_time(p->crt, now_s + (time_t)(life.us / WEIR_US_PER_S));
    e = e < 0 || p->key == NULL ? e : weir_gnutls.gnutls_x509_crt_set_key(p->crt, p->key);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_crt_get_key_id(p->crt, 0, id, &id_n);
    return e < 0 ? e : weir_gnutls.gnutls_x509_crt_set_subject_key_id(p->crt, id, id_n);
}

int tls_export_crt(struct tls_pair *p, const char *append, struct weir_err *err)
{
    gnutls_datum_t pem = {NULL, 0};
    int e = weir_gnutls.gnutls_x509_crt_export2(p->crt, GNUTLS_X509_FMT_PEM, &pem);
    if (e < 0) {
        return tls_fail_tls(err, "writing a TLS certificate", e);
    }
    struct weir_str text = WEIR_STR_INIT(TLS_PEM_BYTES_MAX);
    weir_str_add(&text, (const char *)pem.data, pem.size);
    weir_str_adds(&text, append);
    (*weir_gnutls.gnutls_free)(pem.data);
    p->crt_pem = weir_str_take(&text);
    return 0;
}

static int sign_authority(struct tls_pair *ca, struct weir_wall now, struct weir_err *err)
{
    char cn[64] = "weir authority ";
    weir_random_hex(cn + strlen(cn), 4); /* two weirs' authorities are told apart by name */
    int e = weir_gnutls.gnutls_x509_crt_init(&ca->crt);
    e = e < 0 ? e : tls_fill_common(ca, cn, now, weir_dur_s(AUTHORITY_DAYS * 86400));
    e = e < 0 ? e : weir_gnutls.gnutls_x509_crt_set_basic_constraints(ca->crt, 1, 0);
    e = e < 0 ? e
              : weir_gnutls.gnutls_x509_crt_set_key_usage(ca->crt,
                                              GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_crt_sign2(ca->crt, ca->crt, ca->key, GNUTLS_DIG_SHA256, 0);
    return e < 0 ? tls_fail_tls(err, "making a TLS authority", e) : tls_export_crt(ca, "", err);
}

int tls_sign(gnutls_x509_crt_t crt, const struct tls_pair *ca, const char *purpose)
{
    unsigned char id[64];
    size_t id_n = sizeof(id);
    int e = weir_gnutls.gnutls_x509_crt_set_basic_constraints(crt, 0, -1);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_crt_set_key_purpose_oid(crt, purpose, 0);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_crt_get_subject_key_id(ca->crt, id, &id_n, NULL);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_crt_set_authority_key_id(crt, id, id_n);
    return e < 0 ? e : weir_gnutls.gnutls_x509_crt_sign2(crt, ca->crt, ca->key, GNUTLS_DIG_SHA256, 0);
}

static int sign_server(struct tls_pair *server,
                       const struct tls_pair *ca,
                       const char *const *names,
                       struct weir_wall now,
                       struct weir_err *err)
{
    int e = weir_gnutls.gnutls_x509_crt_init(&server->crt);
    e = e < 0 ? e : tls_fill_common(server, "weir", now, weir_dur_s(SERVER_DAYS * 86400));
    for (size_t i = 0; names[i] != NULL && e >= 0; i++) {
        e = add_name(server->crt, names[i]);
    }
    e = e < 0 ? e : tls_sign(server->crt, ca, GNUTLS_KP_TLS_WWW_SERVER);
    return e < 0 ? tls_fail_tls(err, "making a TLS server certificate", e)
                 : tls_export_crt(server, ca->crt_pem, err);
}

static bool is_key_of(const struct tls_pair *p)
{
    unsigned char a[64], b[64];
    size_t a_n = sizeof(a), b_n = sizeof(b);
    return weir_gnutls.gnutls_x509_crt_get_key_id(p->crt, 0, a, &a_n) >= 0 &&
           weir_gnutls.gnutls_x509_privkey_get_key_id(p->key, 0, b, &b_n) >= 0 && a_n == b_n &&
           memcmp(a, b, a_n) == 0;
}

static bool has_name(gnutls_x509_crt_t crt, const char *name)
{
    unsigned char ip[16];
    size_t ip_n = inet_pton(AF_INET, name, ip) == 1    ? 4
                  : inet_pton(AF_INET6, name, ip) == 1 ? 16
                                                       : 0;
    for (unsigned i = 0; i < NAMES_MAX; i++) {
        char san[256];
        size_t n = sizeof(san);
        int type = weir_gnutls.gnutls_x509_crt_get_subject_alt_name(crt, i, san, &n, NULL);
        if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE) {
            return false;
        }
        if (type == GNUTLS_SAN_IPADDRESS && ip_n > 0 && n == ip_n && memcmp(san, ip, n) == 0) {
            return true;
        }
        if (type == GNUTLS_SAN_DNSNAME && ip_n == 0 &&
            weir_sv_eq_nocase((struct weir_sv){san, strnlen(san, n)}, weir_sv_of(name))) {
            return true;
        }
    }
    return false;
}

/* ---- the two pairs ---- */

int tls_load_authority(
    const char *dir, int dir_fd, struct tls_pair *ca, struct weir_wall now, struct weir_err *err)
{
    int r = tls_read_file(dir, dir_fd, ca_key_file, &ca->key_pem, err);
    r = r < 0 ? r : tls_read_file(dir, dir_fd, ca_file, &ca->crt_pem, err);
    if (r < 0) {
        return r;
    }
    if (ca->key_pem == NULL && ca->crt_pem != NULL) {
        return weir_fail(
            err,
            -WEIR_ECORRUPT,
            "%s/%s is missing while %s is there; restore it from a backup, or remove %s "
            "too to make a new authority, which agents and clients must then be given",
            dir,
            ca_key_file,
            ca_file,
            ca_file);
    }
    if (ca->key_pem == NULL) {
        r = tls_make_key(ca, err);
        r = r < 0 ? r : tls_write_file(dir, dir_fd, ca_key_file, ca->key_pem, 0600, err);
    } else {
        r = tls_parse_key(dir, ca_key_file, ca->key_pem, &ca->key, err);
    }
    if (r < 0) {
        return r;
    }
    if (ca->crt_pem == NULL) {
        r = sign_authority(ca, now, err);
        return r < 0 ? r : tls_write_file(dir, dir_fd, ca_file, ca->crt_pem, 0644, err);
    }
    r = parse_crt(dir, ca_file, ca->crt_pem, &ca->crt, err);
    if (r < 0) {
        return r;
    }
    if (!is_key_of(ca)) {
        return weir_fail(err,
                         -WEIR_ECORRUPT,
                         "%s/%s is not the key of %s; restore both from one backup",
                         dir,
                         ca_key_file,
                         ca_file);
    }
    if (weir_gnutls.gnutls_x509_crt_get_expiration_time(ca->crt) <= (time_t)(now.us / WEIR_US_PER_S)) {
        return weir_fail(err,
                         -WEIR_ECORRUPT,
                         "%s/%s has expired; check the clock, or remove it and %s to make a new "
                         "authority, which agents and clients must then be given",
                         dir,
                         ca_file,
                         ca_key_file);
    }
    return 0;
}

static bool is_server_good(const struct tls_pair *server,
                           const struct tls_pair *ca,
                           const char *const *names,
                           struct weir_wall now)
{
    time_t now_s = (time_t)(now.us / WEIR_US_PER_S);
    unsigned status = 0;
    gnutls_x509_crt_t issuer = ca->crt;
    if (!is_key_of(server) || weir_gnutls.gnutls_x509_crt_get_activation_time(server->crt) > now_s ||
        weir_gnutls.gnutls_x509_crt_get_expiration_time(server->crt) < now_s + (time_t)RENEW_DAYS * 86400 ||
        weir_gnutls.gnutls_x509_crt_verify(
            server->crt, &issuer, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status) < 0 ||
        status != 0) {
        return false;
    }
    for (size_t i = 0; names[i] != NULL; i++) {
        if (!has_name(server->crt, names[i])) {
            return false;
        }
    }
    return true;
}

static int load_server(const char *dir,
                       int dir_fd,
                       struct tls_pair *server,
                       const struct tls_pair *ca,
                       const char *const *names,
                       struct weir_wall now,
                       struct weir_err *err)
{
    int r = tls_read_file(dir, dir_fd, server_key_file, &server->key_pem, err);
    r = r < 0 ? r : tls_read_file(dir, dir_fd, server_file, &server->crt_pem, err);
    if (r == 0 && server->key_pem != NULL && server->crt_pem != NULL) {
        r = tls_parse_key(dir, server_key_file, server->key_pem, &server->key, err);
        r = r < 0 ? r : parse_crt(dir, server_file, server->crt_pem, &server->crt, err);
        if (r == 0 && is_server_good(server, ca, names, now)) {
            return 0;
        }
    }
    if (r < 0) {
        return r;
    }
    tls_pair_release(server);
    r = tls_make_key(server, err);
    r = r < 0 ? r : sign_server(server, ca, names, now, err);
    r = r < 0 ? r : tls_write_file(dir, dir_fd, server_key_file, server->key_pem, 0600, err);
    return r < 0 ? r : tls_write_file(dir, dir_fd, server_file, server->crt_pem, 0644, err);
}

static int check_names(const char *const *names, struct weir_err *err)
{
    size_t n = 0;
    for (; names[n] != NULL; n++) {
        if (n == NAMES_MAX || names[n][0] == 0 || strlen(names[n]) > 253) {
            return weir_fail(
                err, -WEIR_EINVAL, "TLS: at most %d names, none empty or too long", NAMES_MAX);
        }
    }
    return n > 0 ? 0 : weir_fail(err, -WEIR_EINVAL, "TLS: a server certificate needs a name");
}

int weir_tls_ensure(const char *dir,
                    const char *const *names,
                    struct weir_wall now,
                    struct weir_tls_files *ret,
                    struct weir_err *err)
{
    int r = weir_gnutls_init(err);
    r = r < 0 ? r : check_names(names, err);
    if (r < 0) {
        return r;
    }
    if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
        return fail_errno(err, "making", dir, "", errno);
    }
    WEIR_CLEANUP(weir_closep) int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0) {
        return fail_errno(err, "opening", dir, "", errno);
    }
    WEIR_CLEANUP(tls_pair_release) struct tls_pair ca = {0};
    WEIR_CLEANUP(tls_pair_release) struct tls_pair server = {0};
    r = tls_load_authority(dir, dir_fd, &ca, now, err);
    r = r < 0 ? r : load_server(dir, dir_fd, &server, &ca, names, now, err);
    if (r < 0) {
        return r;
    }
    ret->ca_pem = WEIR_TAKE(ca.crt_pem);
    ret->cert_pem = WEIR_TAKE(server.crt_pem);
    ret->key_pem = WEIR_TAKE(server.key_pem);
    return 0;
}
