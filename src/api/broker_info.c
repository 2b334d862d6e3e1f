/* SPDX-License-Identifier: Apache-2.0 */
/* About the broker itself: health, version, status, the OpenAPI document, faults for trying things. */
#include <stdio.h>
#include <stdlib.h>

#include "api/api_priv.h"
#include "base/mem.h"

void api_handle_health(struct api_request *rq)
{
    struct weir_str out = WEIR_STR_INIT(256);
    weir_str_adds(&out, "{\"status\":\"ok\",\"version\":\"" WEIR_VERSION "\"}");
    api_reply(rq->http, 200, &out);
}

void api_handle_version(struct api_request *rq)
{
    struct weir_str out = WEIR_STR_INIT(256);
    weir_str_addf(&out, "{\"version\":\"" WEIR_VERSION "\",\"protocol\":1,\"schema\":%d}", WEIR_STORE_SCHEMA);
    api_reply(rq->http, 200, &out);
}

void api_handle_issuers(struct api_request *rq)
{
    struct weir_str out = WEIR_STR_INIT(64 << 10);
    struct weir_json j = weir_json_begin(&out);
    weir_json_object(&j);
    weir_json_key(&j, "items");
    weir_json_array(&j);
    for (size_t i = 0; i < rq->api->conf.n_issuers; i++) {
        const struct weir_api_issuer *x = &rq->api->conf.issuer[i];
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "issuer", x->issuer);
        weir_json_kv_cstr(&j, "audience", x->audience);
        weir_json_kv_cstr(&j, "client_id", x->client_id[0] == '\0' ? NULL : x->client_id);
        weir_json_end(&j);
    }
    weir_json_end(&j);
    weir_json_end(&j);
    api_reply(rq->http, 200, &out);
}

void api_handle_openapi(struct api_request *rq)
{
    struct weir_str out = WEIR_STR_INIT(1 << 20);
    weir_api_openapi(&out);
    api_reply(rq->http, 200, &out);
}

static void status_done(struct weir_command *cmd)
{
    struct api_call *call = (struct api_call *)cmd;
    if (cmd->code < 0) {
        api_fail(call->http, cmd->code, &cmd->err);
    } else {
        api_reply(call->http, 200, &cmd->reply);
    }
    api_call_free(call);
}

void api_handle_status(struct api_request *rq)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_STATUS);
    call->cmd.done = status_done;
    api_call_post(call);
}

static void fault_done(struct weir_command *cmd)
{
    struct api_call *call = (struct api_call *)cmd;
    if (cmd->code < 0) {
        api_fail(call->http, cmd->code, &cmd->err);
    } else {
        struct weir_str out = WEIR_STR_INIT(API_SMALL_BODY_MAX * 6 + 64);
        struct weir_json j = weir_json_begin(&out);
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "what", cmd->u.fault.what);
        weir_json_end(&j);
        api_reply(call->http, 200, &out);
    }
    api_call_free(call);
}

void api_handle_fault(struct api_request *rq)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_SANDBOX_FAULT);
    call->body = api_body(rq);
    if (call->body == NULL || api_schema_check(api_schema_find("Fault"), call->body, &rq->err) < 0) {
        api_fail(rq->http, -WEIR_EINVAL, &rq->err);
        api_call_free(call);
        return;
    }
    call->cmd.u.fault.what = json_string_value(json_object_get(call->body, "what"));
    call->cmd.done = fault_done;
    api_call_post(call);
}
