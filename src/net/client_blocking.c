/* SPDX-License-Identifier: Apache-2.0 */
/* The blocking client for command-line programs; see client.h. */

#include <stdlib.h>

#include "base/mem.h"
#include "net/client_priv.h"
#include "net/plain.h"
#include "net/plain_wire.h"

struct weir_http_session {
    struct weir_plain *plain;      /* for calls within this host */
    struct weir_transfer transfer; /* for all others: its easy handle, NULL until there is one, keeps the connections */
    struct weir_authorities authorities;
};

int weir_http_session_new(struct weir_http_session **ret, struct weir_err *err)
{
    (void)err;
    struct weir_http_session *s = weir_alloc(sizeof(*s));
    s->plain = weir_plain_new();
    *ret = s;
    return 0;
}

void weir_http_session_free(struct weir_http_session *s)
{
    if (s == NULL) {
        return;
    }
    if (s->transfer.easy != NULL) {
        weir_curl.curl_easy_cleanup(s->transfer.easy);
    }
    weir_transfer_release(&s->transfer);
    weir_authorities_release(&s->authorities);
    weir_plain_free(s->plain);
    free(s);
}

/* Makes the session's handle, or clears it, which keeps its connections. */
static int ready_handle(struct weir_transfer *t, struct weir_err *err)
{
    if (t->easy != NULL) {
        weir_curl.curl_easy_reset(t->easy);
        return 0;
    }
    int r = weir_curl_init(err);
    if (r == 0) {
        t->easy = weir_curl.curl_easy_init();
        r = t->easy != NULL ? 0 : weir_fail(err, -WEIR_ENOMEM, "out of memory for an HTTP session");
    }
    return r;
}

static int call_by_curl(struct weir_http_session *s,
                        const struct weir_http_call *call,
                        weir_http_sink_fn *sink,
                        void *sink_ctx,
                        struct weir_http_reply *reply,
                        struct weir_err *err)
{
    struct weir_transfer *t = &s->transfer;
    weir_transfer_release(t);
    int r = ready_handle(t, err);
    if (r < 0) {
        return r;
    }
    *t = (struct weir_transfer){.easy = t->easy, .sink = sink, .sink_ctx = sink_ctx};
    r = weir_transfer_setup(t, call, &s->authorities, err);
    if (r == 0) {
        weir_transfer_finish(t, weir_curl.curl_easy_perform(t->easy), reply);
    }
    return r;
}

int weir_http_session_call(struct weir_http_session *s,
                           const struct weir_http_call *call,
                           weir_http_sink_fn *sink,
                           void *sink_ctx,
                           struct weir_http_reply *reply,
                           struct weir_err *err)
{
    struct weir_err why = {""};
    *reply = (struct weir_http_reply){.retry_after_s = -1, .content_type = "", .body = WEIR_SV("")};
    int r = weir_call_check(call, &why);
    if (r == 0 && weir_plain_serves(call->url)) {
        r = weir_plain_call(s->plain, call, sink, sink_ctx, reply);
        return r == 0 ? 0 : weir_fail(err, r, "%s", reply->text);
    }
    r = r < 0 ? r : call_by_curl(s, call, sink, sink_ctx, reply, &why);
    if (r == 0) {
        r = reply->code;
        return r == 0 ? 0 : weir_fail(err, r, "%s", reply->text);
    }
    reply->code = r;
    size_t n = strnlen(why.text, sizeof(reply->text) - 1);
    memcpy(reply->text, why.text, n);
    return weir_fail(err, r, "%s", why.text);
}
