/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's own certificate. With a join token it has one made for a key that stays on this host, and shows that from then on; it is
 * renewed when half of its life is over. The broker judges whether it is good: this host's clock may be wrong.
 */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent_priv.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tls.h"

enum { CERTIFICATE_BYTES_MAX = 64 * 1024, RETRY_S_MIN = 5 };

static const char key_file[] = "node-key.pem";
static const char cert_file[] = "node.pem";

bool agent_token_is_for_joining(const char *token)
{
    return token != NULL && weir_sv_starts(weir_sv_of(token), WEIR_SV("join-"));
}

static bool may_join(const struct agent *a)
{
    return agent_token_is_for_joining(a->conf->token);
}

void agent_certificate_load(struct agent *a)
{
    struct agent_certificate *c = &a->certificate;
    char text[CERTIFICATE_BYTES_MAX];
    struct weir_err err;
    if (!weir_sv_starts(weir_sv_of(a->url), WEIR_SV("https://")) || !weir_path_join(c->cert, a->dir, cert_file) || !weir_path_join(c->key, a->dir, key_file)) {
        return;
    }
    long n = weir_slurp(c->cert, text, sizeof text);
    c->has = n > 0 && weir_tls_ends((struct weir_sv){text, (size_t)n}, &c->ends, &err) == 0;
    c->renew_at = weir_clock_wall(a->clock); /* how long it lives is known from the answer */
    if (c->has) {
        weir_log(WEIR_LOG_INFO, "agent.certificate", "node=\"%s\" file=\"%s\"", a->self.name, c->cert);
    }
}

void agent_certificate_show(const struct agent *a, struct weir_http_call *call)
{
    if (a->certificate.has) {
        call->cert_file = a->certificate.cert;
        call->key_file = a->certificate.key;
    } else {
        call->bearer = a->conf->token;
    }
}

bool agent_certificate_is_wanted(const struct agent *a)
{
    return !a->certificate.has && may_join(a);
}

int agent_certificate_request(struct agent *a, struct weir_str *body, struct weir_err *err)
{
    char *request = NULL;
    int r = weir_tls_request(a->dir, key_file, &request, err);
    if (r < 0) {
        return r;
    }
    struct weir_json j = weir_json_begin(body);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "name", a->self.name);
    weir_json_kv_cstr(&j, "request", request);
    weir_json_end(&j);
    free(request);
    return 0;
}

static void retry_later(struct agent *a)
{
    struct agent_certificate *c = &a->certificate;
    struct weir_wall now = weir_clock_wall(a->clock);
    int64_t rest_us = (c->ends.us - now.us) / 20;
    c->renew_at.us = now.us + (rest_us < RETRY_S_MIN * WEIR_US_PER_S ? RETRY_S_MIN * WEIR_US_PER_S : rest_us);
}

/* malloc'ed; NULL where there is none. */
static char *read_certificate(struct weir_sv reply)
{
    json_t *root = reply.p == NULL ? NULL : json_loadb(reply.p, reply.n, JSON_REJECT_DUPLICATES, NULL);
    const char *pem = json_string_value(json_object_get(root, "certificate"));
    char *ret = pem == NULL || strlen(pem) >= CERTIFICATE_BYTES_MAX ? NULL : weir_strdup(pem);
    json_decref(root);
    return ret;
}

int agent_certificate_take(struct agent *a, struct weir_sv reply, struct weir_err *err)
{
    struct agent_certificate *c = &a->certificate;
    struct weir_wall ends;
    WEIR_CLEANUP(weir_freep) char *pem = read_certificate(reply);
    int r = pem == NULL ? weir_fail(err, -WEIR_EIO, "the broker's answer has no certificate") : weir_tls_ends(weir_sv_of(pem), &ends, err);
    r = r < 0 ? r : weir_tls_write(a->dir, cert_file, pem, err);
    if (r < 0) {
        return r;
    }
    struct weir_wall now = weir_clock_wall(a->clock);
    c->has = true;
    c->ends = ends;
    c->renew_at.us = now.us + (ends.us - now.us) / 2;
    weir_log(WEIR_LOG_INFO, "agent.certificate", "node=\"%s\" text=\"a certificate was made\"", a->self.name);
    return 0;
}

void agent_certificate_failed(struct agent *a, const char *text)
{
    weir_log(WEIR_LOG_WARNING, "agent.certificate", "node=\"%s\" text=\"the certificate cannot be renewed: %s\"", a->self.name, text);
    retry_later(a);
}

void agent_certificate_refused(struct agent *a)
{
    struct agent_certificate *c = &a->certificate;
    if (may_join(a)) {
        c->has = !c->has && access(c->cert, R_OK) == 0; /* try the other of the two next */
    }
}

bool agent_certificate_is_due(const struct agent *a)
{
    const struct agent_certificate *c = &a->certificate;
    return c->has && weir_clock_wall(a->clock).us >= c->renew_at.us;
}

void agent_certificate_asked(struct agent *a)
{
    retry_later(a); /* until the answer is here */
}
