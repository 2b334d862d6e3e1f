/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The certificates that the server shows: weir's own, renewed before it ends, to this host and, where nothing else was given, to all;
 * one of another authority to all others, read again when its files change. A file that is half written is passed over until it is whole.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "broker_priv.h"

enum { FILE_BYTES_MAX = 1 << 20, OWN_EVERY_MS = 3600 * 1000, GIVEN_EVERY_MS = 2000, NAMES_MAX = 40 };

static int load_own(struct broker *b, struct weir_tls_files *ret, struct weir_err *err)
{
    char dir[4200];
    char host[256] = "localhost";
    char link[256];
    const char *names[NAMES_MAX] = {host, "localhost", "127.0.0.1"};
    (void)gethostname(host, sizeof host - 1);
    for (size_t i = 0; b->config->names != NULL && b->config->names[i] != NULL && i < 32; i++) {
        names[3 + i] = b->config->names[i];
    }
    if (b->config->link.is_set) { /* by which rented machines know us */
        size_t n = 3;
        while (names[n] != NULL) {
            n++;
        }
        weir_config_link_host(&b->config->link, link, sizeof link);
        names[n] = link;
    }
    (void)snprintf(dir, sizeof dir, "%s/tls", b->data_dir);
    return weir_tls_ensure(dir, names, weir_clock_wall(&weir_clock_os), ret, err);
}

int tls_init(struct broker *b, struct weir_err *err)
{
    int r = load_own(b, &b->tls.own, err);
    if (r == 0) {
        b->ca_pem = weir_strdup(b->tls.own.ca_pem);
        b->tls.own_due_ms = broker_ms(b) + OWN_EVERY_MS;
    }
    return r;
}

/* Has either file changed since it was looked at last? */
static bool has_changed(struct broker *b)
{
    const char *const path[2] = {b->config->tls.cert, b->config->tls.key};
    bool changed = false;
    for (int i = 0; i < 2; i++) {
        struct stat st;
        if (stat(path[i], &st) == 0 && (st.st_mtim.tv_sec != b->tls.seen[i].tv_sec || st.st_mtim.tv_nsec != b->tls.seen[i].tv_nsec)) {
            b->tls.seen[i] = st.st_mtim;
            changed = true;
        }
    }
    return changed;
}

static int load_given(struct broker *b, struct weir_err *err)
{
    WEIR_CLEANUP(weir_freep) char *cert = NULL;
    WEIR_CLEANUP(weir_freep) char *key = NULL;
    struct weir_wall ends;
    size_t n = 0, n_key = 0;
    int r = weir_file_read(b->config->tls.cert, FILE_BYTES_MAX, &cert, &n, err);
    r = r != 0 ? r : weir_file_read(b->config->tls.key, FILE_BYTES_MAX, &key, &n_key, err);
    if (r != 0) {
        return weir_fail_prefix(err, r, "tls");
    }
    r = weir_server_set_certificate(b->server, WEIR_SERVER_OUTWARD, cert, key, err);
    explicit_bzero(key, n_key);
    r = r != 0 ? r : weir_tls_ends((struct weir_sv){cert, n}, &ends, err);
    if (r != 0) {
        return weir_fail_prefix(err, r, "%s, %s", b->config->tls.cert, b->config->tls.key);
    }
    if (ends.us <= weir_clock_wall(&weir_clock_os).us) {
        weir_log(WEIR_LOG_WARNING, "tls.given", "file=%s text=\"this certificate has expired: clients will refuse it\"", b->config->tls.cert);
    }
    return 0;
}

int tls_start(struct broker *b, struct weir_err *err)
{
    if (b->config->tls.cert[0] == '\0') {
        return 0;
    }
    if (b->ca_pem == NULL) {
        return weir_fail(err, -WEIR_ECONFIG, "tls: %s is for listening on other addresses than loopback, which has no TLS; this broker listens on %s", b->config->tls.cert,
                         b->config->listen);
    }
    size_t n = 0;
    int r = b->config->tls.ca[0] == '\0' ? 0 : weir_file_read(b->config->tls.ca, FILE_BYTES_MAX, &b->tls.given_ca_pem, &n, err);
    if (r != 0) {
        return weir_fail_prefix(err, r, "tls");
    }
    (void)has_changed(b);
    return load_given(b, err);
}

const char *tls_authority(const struct broker *b)
{
    return b->config->tls.cert[0] != '\0' ? b->tls.given_ca_pem : b->ca_pem;
}

void tls_tick(struct broker *b)
{
    struct weir_err err;
    uint64_t now = broker_ms(b);
    if (b->ca_pem != NULL && now >= b->tls.own_due_ms) {
        struct weir_tls_files files = {0};
        b->tls.own_due_ms = now + OWN_EVERY_MS;
        int r = load_own(b, &files, &err);
        bool renewed = r == 0 && !weir_streq(files.cert_pem, b->tls.own.cert_pem);
        r = renewed ? weir_server_set_certificate(b->server, WEIR_SERVER_OWN, files.cert_pem, files.key_pem, &err) : r;
        if (r != 0) {
            weir_log(WEIR_LOG_ERROR, "tls.own", "text=\"%s\"", err.text);
        } else if (renewed) {
            weir_log(WEIR_LOG_NOTICE, "tls.own", "text=\"the server's certificate was renewed\"");
            weir_tls_files_release(&b->tls.own);
            b->tls.own = files;
            files = (struct weir_tls_files){0};
        }
        weir_tls_files_release(&files);
    }
    if (b->config->tls.cert[0] != '\0' && now >= b->tls.given_due_ms) {
        b->tls.given_due_ms = now + GIVEN_EVERY_MS;
        if (has_changed(b)) {
            int r = load_given(b, &err);
            weir_log(r == 0 ? WEIR_LOG_NOTICE : WEIR_LOG_WARNING, "tls.given", "file=%s text=\"%s\"", b->config->tls.cert,
                     r == 0 ? "the server's certificate was read again" : err.text);
        }
    }
}

void tls_free(struct broker *b)
{
    weir_tls_files_release(&b->tls.own);
    free(b->tls.given_ca_pem);
    free(b->ca_pem);
}
