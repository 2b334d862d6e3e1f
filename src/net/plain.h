/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * HTTP/1.1 without TLS to this very host, blocking: what a command and its broker speak on one machine.
 * It saves commands the loading of libcurl, which takes longer than all else that they do; every other
 * call goes there. One connection is kept. All that is read is bounded.
 */

#include "net/client.h"

struct weir_plain; /* a session */

struct weir_plain *weir_plain_new(void);
void weir_plain_free(struct weir_plain *p);
/* As weir_http_session_call, for a call that weir_call_check has passed and a URL that
 * weir_plain_serves (plain_wire.h). */
int weir_plain_call(struct weir_plain *p,
                    const struct weir_http_call *call,
                    weir_http_sink_fn *sink,
                    void *sink_ctx,
                    struct weir_http_reply *reply);

/* A socket that is being connected without waiting for it. Errors: -WEIR_EUNAVAIL, with the reason (static). */
int weir_plain_connect(struct weir_sv authority, const char **why);
