/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* GnuTLS. See library.h. */

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "net/library.h"

#define WEIR_GNUTLS_FUNCTIONS(X) \
    X(gnutls_certificate_get_peers) \
    X(gnutls_certificate_verify_peers) \
    X(gnutls_encode_rs_value) \
    X(gnutls_hash_fast) \
    X(gnutls_hmac_fast) \
    X(gnutls_memcmp) \
    X(gnutls_pcert_deinit) \
    X(gnutls_pcert_list_import_x509_raw) \
    X(gnutls_privkey_deinit) \
    X(gnutls_privkey_import_x509_raw) \
    X(gnutls_privkey_init) \
    X(gnutls_privkey_sign_data) \
    X(gnutls_pubkey_deinit) \
    X(gnutls_pubkey_get_key_id) \
    X(gnutls_pubkey_get_pk_algorithm) \
    X(gnutls_pubkey_import_ecc_raw) \
    X(gnutls_pubkey_import_rsa_raw) \
    X(gnutls_pubkey_import_x509_crq) \
    X(gnutls_pubkey_init) \
    X(gnutls_pubkey_verify_data2) \
    X(gnutls_session_get_ptr) \
    X(gnutls_strerror) \
    X(gnutls_x509_crq_deinit) \
    X(gnutls_x509_crq_export2) \
    X(gnutls_x509_crq_import) \
    X(gnutls_x509_crq_init) \
    X(gnutls_x509_crq_set_dn_by_oid) \
    X(gnutls_x509_crq_set_key) \
    X(gnutls_x509_crq_set_version) \
    X(gnutls_x509_crq_sign2) \
    X(gnutls_x509_crq_verify) \
    X(gnutls_x509_crt_deinit) \
    X(gnutls_x509_crt_export2) \
    X(gnutls_x509_crt_get_activation_time) \
    X(gnutls_x509_crt_get_expiration_time) \
    X(gnutls_x509_crt_get_key_id) \
    X(gnutls_x509_crt_get_subject_alt_name) \
    X(gnutls_x509_crt_get_subject_key_id) \
    X(gnutls_x509_crt_import) \
    X(gnutls_x509_crt_init) \
    X(gnutls_x509_crt_set_activation_time) \
    X(gnutls_x509_crt_set_authority_key_id) \
    X(gnutls_x509_crt_set_basic_constraints) \
    X(gnutls_x509_crt_set_dn_by_oid) \
    X(gnutls_x509_crt_set_expiration_time) \
    X(gnutls_x509_crt_set_key) \
    X(gnutls_x509_crt_set_key_purpose_oid) \
    X(gnutls_x509_crt_set_key_usage) \
    X(gnutls_x509_crt_set_pubkey) \
    X(gnutls_x509_crt_set_serial) \
    X(gnutls_x509_crt_set_subject_alt_name) \
    X(gnutls_x509_crt_set_subject_key_id) \
    X(gnutls_x509_crt_set_version) \
    X(gnutls_x509_crt_sign2) \
    X(gnutls_x509_crt_verify) \
    X(gnutls_x509_privkey_deinit) \
    X(gnutls_x509_privkey_export2_pkcs8) \
    X(gnutls_x509_privkey_generate) \
    X(gnutls_x509_privkey_get_key_id) \
    X(gnutls_x509_privkey_import2) \
    X(gnutls_x509_privkey_init)

struct weir_gnutls {
    WEIR_GNUTLS_FUNCTIONS(WEIR_LIBRARY_MEMBER)
    gnutls_free_function *gnutls_free; /* a variable there */
};

/* Valid once weir_gnutls_init has returned 0. */
extern struct weir_gnutls weir_gnutls;

/* Loads the library once per process, from any thread. Errors: those of weir_library_load. */
int weir_gnutls_init(struct weir_err *err);
