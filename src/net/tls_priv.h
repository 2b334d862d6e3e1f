/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the authority (tls.c) and the certificates that it signs for others (certificate.c) share. */

#include <sys/types.h>

#include "net/gnutls_lib.h"
#include "net/tls.h"

enum { TLS_PEM_BYTES_MAX = 64 * 1024 };

/* A certificate and its key; PEM text beside the parsed form. */
struct tls_pair {
    gnutls_x509_crt_t crt;
    gnutls_x509_privkey_t key; /* NULL: another has it */
    char *crt_pem;
    char *key_pem;
};

void tls_pair_release(struct tls_pair *p);
int tls_fail_tls(struct weir_err *err, const char *what, int e);
/* *ret stays NULL where the file is absent. */
int tls_read_file(const char *dir, int dir_fd, const char *name, char **ret, struct weir_err *err);
/* Whole or not at all, and on the disk. */
int tls_write_file(const char *dir, int dir_fd, const char *name, const char *text, mode_t mode, struct weir_err *err);
/* name is what errors call it. */
int tls_parse_key(const char *dir, const char *name, char *pem, gnutls_x509_privkey_t *ret, struct weir_err *err);
/* A new key, with its text. */
int tls_make_key(struct tls_pair *p, struct weir_err *err);
/* What all certificates have; p->key's public half becomes its key, where there is one. A negative number of GnuTLS's. */
int tls_fill_common(const struct tls_pair *p, const char *cn, struct weir_wall now, struct weir_dur life);
/* The certificate of one that signs no others, for one purpose. A negative number of GnuTLS's. */
int tls_sign(gnutls_x509_crt_t crt, const struct tls_pair *ca, const char *purpose);
/* crt_pem, with append behind it. */
int tls_export_crt(struct tls_pair *p, const char *append, struct weir_err *err);
/* The SHA-256 of the public key in its DER form, in hex. */
int tls_key_hash(gnutls_x509_crt_t crt, char ret[WEIR_SHA256_HEX_SIZE]);
/* Loads the authority of the directory, or makes it. */
int tls_load_authority(const char *dir, int dir_fd, struct tls_pair *ca, struct weir_wall now, struct weir_err *err);
