/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's side of TLS: the certificate that a handshake is answered with, which may change while the server runs, and the one
 * that a client may show. Credentials that were replaced stay until the server's end: a handshake may still be using them, and a
 * change is a rare thing.
 */

#include <stdlib.h>

#include "base/mem.h"
#include "net/gnutls_lib.h"
#include "net/server_priv.h"
#include "net/tls_priv.h"

enum { CHAIN_MAX = 8 };

struct server_credentials {
    struct server_credentials *older;
    gnutls_pcert_st chain[CHAIN_MAX];
    unsigned n;
    gnutls_privkey_t key;
};

static void credentials_free(struct server_credentials *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        weir_gnutls.gnutls_pcert_deinit(&c->chain[i]);
    }
    if (c->key != NULL) {
        weir_gnutls.gnutls_privkey_deinit(c->key);
    }
    free(c);
}

void weir_server_tls_release(struct weir_server *s)
{
    for (int i = 0; i < 2; i++) {
        while (s->credentials[i] != NULL) {
            struct server_credentials *c = s->credentials[i];
            s->credentials[i] = c->older;
            credentials_free(c);
        }
    }
}

/* Do they belong to each other? GnuTLS's own check forgets to free the certificate where they do not. */
static int check_pair(const struct server_credentials *c, const gnutls_datum_t *key_pem)
{
    unsigned char of_cert[32], of_key[32];
    size_t n_cert = sizeof of_cert, n_key = sizeof of_key;
    gnutls_x509_privkey_t key = NULL;
    int e = weir_gnutls.gnutls_x509_privkey_init(&key);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_privkey_import2(key, key_pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_privkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, of_key, &n_key);
    e = e < 0 ? e : weir_gnutls.gnutls_pubkey_get_key_id(c->chain[0].pubkey, GNUTLS_KEYID_USE_SHA256, of_cert, &n_cert);
    if (key != NULL) {
        weir_gnutls.gnutls_x509_privkey_deinit(key);
    }
    return e < 0 ? e : n_cert != n_key || memcmp(of_cert, of_key, n_key) != 0 ? GNUTLS_E_CERTIFICATE_KEY_MISMATCH : 0;
}

int weir_server_set_certificate(struct weir_server *s, enum weir_server_face face, const char *cert_pem, const char *key_pem, struct weir_err *err)
{
    int r = weir_gnutls_init(err);
    if (r < 0) {
        return r;
    }
    gnutls_datum_t cert = {(unsigned char *)(uintptr_t)cert_pem, (unsigned)strlen(cert_pem)};
    gnutls_datum_t key = {(unsigned char *)(uintptr_t)key_pem, (unsigned)strlen(key_pem)};
    struct server_credentials *c = weir_alloc(sizeof *c);
    c->n = CHAIN_MAX;
    int e = weir_gnutls.gnutls_pcert_list_import_x509_raw(c->chain, &c->n, &cert, GNUTLS_X509_FMT_PEM, 0);
    c->n = e < 0 ? 0 : c->n;
    e = e < 0 ? e : check_pair(c, &key);
    e = e < 0 ? e : weir_gnutls.gnutls_privkey_init(&c->key);
    e = e < 0 ? e : weir_gnutls.gnutls_privkey_import_x509_raw(c->key, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (e < 0) {
        credentials_free(c);
        return weir_fail(err,
                         -WEIR_ECONFIG,
                         "TLS: the server's certificate and key cannot be used together (%s); check that both are PEM and belong to each other",
                         weir_gnutls.gnutls_strerror(e));
    }
    (void)pthread_mutex_lock(&s->lock);
    c->older = s->credentials[face];
    s->credentials[face] = c;
    (void)pthread_mutex_unlock(&s->lock);
    return 0;
}

/* The library's call in a handshake. Its session carries the library's connection, and that carries ours. */
int weir_server_on_handshake(gnutls_session_t session,
                             const gnutls_datum_t *req_ca_rdn,
                             int nreqs,
                             const gnutls_pk_algorithm_t *pk_algos,
                             int pk_algos_length,
                             gnutls_pcert_st **chain,
                             unsigned int *n,
                             gnutls_privkey_t *key)
{
    (void)req_ca_rdn;
    (void)nreqs;
    (void)pk_algos;
    (void)pk_algos_length;
    struct MHD_Connection *mhd = weir_gnutls.gnutls_session_get_ptr(session);
    const union MHD_ConnectionInfo *info = mhd == NULL ? NULL : weir_mhd.MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (info == NULL || info->socket_context == NULL) {
        return -1;
    }
    struct connection *c = info->socket_context;
    struct weir_server *s = c->server;
    bool is_near = weir_address_is_loopback((const struct sockaddr *)&c->peer_address);
    (void)pthread_mutex_lock(&s->lock);
    struct server_credentials *found = s->credentials[WEIR_SERVER_OUTWARD];
    if (is_near || found == NULL) {
        found = s->credentials[WEIR_SERVER_OWN];
    }
    (void)pthread_mutex_unlock(&s->lock);
    *chain = found->chain;
    *n = found->n;
    *key = found->key;
    return 0;
}

/* ---- the client's ---- */

static int fail_certificate(unsigned status, struct weir_err *err)
{
    if ((status & GNUTLS_CERT_EXPIRED) != 0) {
        return weir_fail(err, -WEIR_EUNAUTH, "the client's certificate has expired");
    }
    if ((status & GNUTLS_CERT_NOT_ACTIVATED) != 0) {
        return weir_fail(err, -WEIR_EUNAUTH, "the client's certificate is not valid yet: compare the clocks");
    }
    return weir_fail(err, -WEIR_EUNAUTH, "the client's certificate is not one of this broker's authority");
}

static int read_certificate(gnutls_session_t session, char key[WEIR_SHA256_HEX_SIZE], struct weir_err *err)
{
    unsigned n = 0, status = 0;
    const gnutls_datum_t *der = weir_gnutls.gnutls_certificate_get_peers(session, &n);
    if (der == NULL || n == 0) {
        return -WEIR_ENOTFOUND;
    }
    gnutls_typed_vdata_st purpose = {GNUTLS_DT_KEY_PURPOSE_OID, (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT, 0};
    int e = weir_gnutls.gnutls_certificate_verify_peers(session, &purpose, 1, &status);
    if (e < 0 || status != 0) {
        return fail_certificate(status, err);
    }
    gnutls_x509_crt_t crt = NULL;
    e = weir_gnutls.gnutls_x509_crt_init(&crt);
    e = e < 0 ? e : weir_gnutls.gnutls_x509_crt_import(crt, &der[0], GNUTLS_X509_FMT_DER);
    e = e < 0 ? e : tls_key_hash(crt, key);
    if (crt != NULL) {
        weir_gnutls.gnutls_x509_crt_deinit(crt);
    }
    return e < 0 ? fail_certificate(0, err) : 0;
}

int weir_request_certificate(struct weir_http_request *r, char key[WEIR_SHA256_HEX_SIZE], struct weir_err *err)
{
    if (!r->connection->server->wants_certificates) {
        return -WEIR_ENOTFOUND;
    }
    struct connection *c = r->connection;
    if (c->key[0] == '\0') {
        const union MHD_ConnectionInfo *info = weir_mhd.MHD_get_connection_info(r->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        int rc = info == NULL || info->tls_session == NULL ? -WEIR_ENOTFOUND : read_certificate(info->tls_session, c->key, err);
        if (rc < 0) {
            return rc;
        }
    }
    memcpy(key, c->key, sizeof c->key);
    return 0;
}
