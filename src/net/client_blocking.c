/* SPDX-License-Identifier: Apache-2.0 */
/* The blocking client for command-line programs; see client.h. */

#include <stdlib.h>

#include "base/mem.h"
#include "net/client_priv.h"

struct weir_http_session {
    struct weir_transfer transfer; /* its easy handle keeps the connections */
    struct weir_authorities authorities;
};

int weir_http_session_new(struct weir_http_session **ret, struct weir_err *err)
{
    int r = weir_curl_init(err);
    if (r < 0) {
        return r;
    }
    CURL *easy = curl_easy_init();
    if (easy == NULL) {
        return weir_fail(err, -WEIR_ENOMEM, "out of memory for an HTTP session");
    }
    struct weir_http_session *s = weir_alloc(sizeof(*s));
    s->transfer.easy = easy;
    *ret = s;
    return 0;
}

void weir_http_session_free(struct weir_http_session *s)
{
    if (s == NULL) {
        return;
    }
    curl_easy_cleanup(s->transfer.easy);
    weir_transfer_release(&s->transfer);
    weir_authorities_release(&s->authorities);
    free(s);
}

int weir_http_session_call(struct weir_http_session *s,
                           const struct weir_http_call *call,
                           weir_http_sink_fn *sink,
                           void *sink_ctx,
                           struct weir_http_reply *reply,
                           struct weir_err *err)
{
    struct weir_transfer *t = &s->transfer;
    weir_transfer_release(t);
    curl_easy_reset(t->easy); /* keeps connections */
    *t = (struct weir_transfer){.easy = t->easy, .sink = sink, .sink_ctx = sink_ctx};
    *reply = (struct weir_http_reply){.retry_after_s = -1, .content_type = "", .body = WEIR_SV("")};
    struct weir_err why = {""};
    int r = weir_transfer_setup(t, call, &s->authorities, &why);
    if (r == 0) {
        weir_transfer_finish(t, curl_easy_perform(t->easy), reply);
        r = reply->code;
        return r == 0 ? 0 : weir_fail(err, r, "%s", reply->text);
    }
    reply->code = r;
    size_t n = strnlen(why.text, sizeof(reply->text) - 1);
    memcpy(reply->text, why.text, n);
    return weir_fail(err, r, "%s", why.text);
}
