/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Plain HTTP/1.1 to this very host on a libuv loop: what an agent speaks with the broker of its own host. It saves the
 * agent libcurl and what that loads, which is more than all of the agent. Connections are kept and bounded in number;
 * calls beyond wait their turn, within their own time-outs.
 */

#include "net/client.h"

struct weir_plain_pool;

struct weir_plain_pool *weir_plain_pool_new(struct uv_loop_s *loop);
/* Calls under way are dropped without their callback. The loop must run once more to close the handles. NULL: nothing. */
void weir_plain_pool_free(struct weir_plain_pool *p);
/* As weir_http_ops.send, for a call that weir_call_check has passed and a URL that weir_plain_serves; the caller gives the
 * id. Errors: -WEIR_EINVAL (too large). */
int weir_plain_pool_send(struct weir_plain_pool *p, const struct weir_http_call *call, weir_http_fn *done, void *ctx, uint64_t id);
/* False where no such call is under way. */
bool weir_plain_pool_cancel(struct weir_plain_pool *p, uint64_t id);
