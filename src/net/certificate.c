/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates of clients: the request that one makes with its own key, which never leaves its host, and the certificate that the
 * authority makes of it. What stands in a request is believed in nothing but the key.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/tls_priv.h"

enum { RSA_BITS_MIN = 2048, EC_BITS_MIN = 256 };

static void to_hex(const unsigned char digest[32], char ret[WEIR_SHA256_HEX_SIZE])
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < 32; i++) {
        ret[2 * i] = hex[digest[i] >> 4];
        ret[2 * i + 1] = hex[digest[i] & 15];
    }
    ret[64] = '\0';
}

int tls_key_hash(gnutls_x509_crt_t crt, char ret[WEIR_SHA256_HEX_SIZE])
{
    unsigned char id[32];
    size_t n = sizeof id;
    int e = weir_gnutls.gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, id, &n);
    if (e >= 0) {
        to_hex(id, ret);
    }
    return e;
}

static int open_dir(const char *dir, int *ret, struct weir_err *err)
{
    *ret = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret >= 0 ? 0 : weir_fail(err, weir_error_from_errno(errno), "opening %s: %s", dir, strerror(errno));
}

int weir_tls_write(const char *dir, const char *name, const char *text, struct weir_err *err)
{
    WEIR_CLEANUP(weir_closep) int dir_fd = -1;
    int r = open_dir(dir, &dir_fd, err);
    return r < 0 ? r : tls_write_file(dir, dir_fd, name, text, 0600, err);
}

static int load_key(const char *dir, int dir_fd, const char *name, struct tls_pair *p, struct weir_err *err)
{
    int r = tls_read_file(dir, dir_fd, name, &p->key_pem, err);
    if (r == 0 && p->key_pem == NULL) {
        r = tls_make_key(p, err);
        return r < 0 ? r : tls_write_file(dir, dir_fd, name, p->key_pem, 0600, err);
    }
    return r < 0 ? r : tls_parse_key(dir, name, p->key_pem, &p->key, err);
}

static int export_request(gnutls_x509_crq_t crq, gnutls_x509_privkey_t key, char **ret)
{
    static const char cn[] = "weir agent";
    gnutls_datum_t pem = {NULL, 0};
    int e = weir_gnutls.gnutls_x509_crq_set_version(crq, 1);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_crq_set_dn_by_oid(crq, GNUTLS_OID_X520_COMMON_NAME, 0, cn, sizeof cn - 1);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_crq_set_key(crq, key);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_crq_sign2(crq, key, GNUTLS_DIG_SHA256, 0);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_crq_export2(crq, GNUTLS_X509_FMT_PEM, &pem);
    if (e >= 0) {
        *ret = weir_strndup((const char *)pem.data, pem.size);
        (*weir_gnutls.gnutls_free)(pem.data);
    }
    return e;
}

int weir_tls_request(const char *dir, const char *name, char **ret_request, struct weir_err *err)
{
    WEIR_CLEANUP(weir_closep) int dir_fd = -1;
    WEIR_CLEANUP(tls_pair_release) struct tls_pair own = {0};
    int r = weir_gnutls_init(err);
    r = r < 0 ? r : open_dir(dir, &dir_fd, err);
    r = r < 0 ? r : load_key(dir, dir_fd, name, &own, err);
    if (r < 0) {
        return r;
    }
    gnutls_x509_crq_t crq = NULL;
    int e = weir_gnutls.gnutls_x509_crq_init(&crq);
    e = e < 0 ? e : export_request(crq, own.key, ret_request);
    if (crq != NULL) {
        weir_gnutls.gnutls_x509_crq_deinit(crq);
    }
    return e < 0 ? tls_fail_tls(err, "asking for a certificate", e) : 0;
}

/* The public key of a request that is signed by it. */
static int read_request(struct weir_sv request, gnutls_pubkey_t *ret, struct weir_err *err)
{
    gnutls_datum_t pem = {(unsigned char *)(uintptr_t)request.p, (unsigned)request.n};
    gnutls_x509_crq_t crq = NULL;
    gnutls_pubkey_t key = NULL;
    unsigned bits = 0;
    if (request.n > TLS_PEM_BYTES_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "the request for a certificate is too long");
    }
    int e = weir_gnutls.gnutls_x509_crq_init(&crq);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_crq_import(crq, &pem, GNUTLS_X509_FMT_PEM);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_crq_verify(crq, 0);
    e = e < 0 ? e : weir_gnutls.gnutls_pubkey_init(&key);
    e = e < 0 ? e : weir_gnutls.gnutls_pubkey_import_x509_crq(key, crq, 0);
    int kind = e < 0 ? e : weir_gnutls.gnutls_pubkey_get_pk_algorithm(key, &bits);
    if (crq != NULL) {
        weir_gnutls.gnutls_x509_crq_deinit(crq);
    }
    bool is_strong = (kind == GNUTLS_PK_ECDSA && bits >= EC_BITS_MIN) || kind == GNUTLS_PK_EDDSA_ED25519 || (kind == GNUTLS_PK_RSA && bits >= RSA_BITS_MIN);
    if (e >= 0 && is_strong) {
        *ret = key;
        return 0;
    }
    if (key != NULL) {
        weir_gnutls.gnutls_pubkey_deinit(key);
    }
    return e < 0 ? weir_fail(err, -WEIR_EINVAL, "the request for a certificate is none in PEM that its own key has signed: %s", weir_gnutls.gnutls_strerror(e))
                 : weir_fail(err, -WEIR_EINVAL, "the request for a certificate has a key of a kind or length that is not taken: ECDSA P-256, Ed25519, or RSA with 2048 bits");
}

int weir_tls_request_key(struct weir_sv request, char ret[WEIR_SHA256_HEX_SIZE], struct weir_err *err)
{
    gnutls_pubkey_t key = NULL;
    unsigned char id[32];
    size_t n = sizeof id;
    int r = weir_gnutls_init(err);
    r = r < 0 ? r : read_request(request, &key, err);
    if (r < 0) {
        return r;
    }
    int e = weir_gnutls.gnutls_pubkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, id, &n);
    weir_gnutls.gnutls_pubkey_deinit(key);
    if (e < 0) {
        return tls_fail_tls(err, "the key of a request for a certificate", e);
    }
    to_hex(id, ret);
    return 0;
}

int weir_tls_issue(const char *dir,
                   struct weir_sv request,
                   const char *name,
                   struct weir_wall now,
                   struct weir_dur life,
                   char **ret_pem,
                   struct weir_err *err)
{
    WEIR_CLEANUP(weir_closep) int dir_fd = -1;
    WEIR_CLEANUP(tls_pair_release) struct tls_pair ca = {0};
    WEIR_CLEANUP(tls_pair_release) struct tls_pair made = {0};
    gnutls_pubkey_t key = NULL;
    int r = weir_gnutls_init(err);
    r = r < 0 ? r : open_dir(dir, &dir_fd, err);
    r = r < 0 ? r : tls_load_authority(dir, dir_fd, &ca, now, err);
    r = r < 0 ? r : read_request(request, &key, err);
    if (r < 0) {
        return r;
    }
    int e = weir_gnutls.gnutls_x509_crt_init(&made.crt);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_crt_set_pubkey(made.crt, key);
    e = e < 0 ? e : tls_fill_common(&made, name, now, life);
    e = e < 0 ? e : tls_sign(made.crt, &ca, GNUTLS_KP_TLS_WWW_CLIENT);
    weir_gnutls.gnutls_pubkey_deinit(key);
    if (e < 0) {
        return tls_fail_tls(err, "making a client's certificate", e);
    }
    r = tls_export_crt(&made, "", err);
    if (r == 0) {
        *ret_pem = WEIR_TAKE(made.crt_pem);
    }
    return r;
}

int weir_tls_ends(struct weir_sv pem, struct weir_wall *ret, struct weir_err *err)
{
    gnutls_datum_t d = {(unsigned char *)(uintptr_t)pem.p, (unsigned)pem.n};
    gnutls_x509_crt_t crt = NULL;
    int r = weir_gnutls_init(err);
    if (r < 0) {
        return r;
    }
    int e = weir_gnutls.gnutls_x509_crt_init(&crt);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_crt_import(crt, &d, GNUTLS_X509_FMT_PEM);
    if (e >= 0) {
        ret->us = (int64_t)weir_gnutls.gnutls_x509_crt_get_expiration_time(crt) * WEIR_US_PER_S;
    }
    if (crt != NULL) {
        weir_gnutls.gnutls_x509_crt_deinit(crt);
    }
    return e >= 0 ? 0 : weir_fail(err, -WEIR_EINVAL, "this is not a certificate in PEM: %s", weir_gnutls.gnutls_strerror(e));
}
