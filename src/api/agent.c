/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's calls, docs/design/0002-agent-protocol.md: the body goes to the deciding thread as it came. */
#include "api/api_priv.h"

static void agent_done(struct weir_command *cmd)
{
    struct api_call *call = (struct api_call *)cmd;
    if (cmd->code < 0) {
        api_fail(call->http, cmd->code, &cmd->err);
    } else {
        if (cmd->reply.n == 0) {
            weir_str_release(&cmd->reply);
            cmd->reply = WEIR_STR_INIT(8);
            weir_str_adds(&cmd->reply, "{}");
        }
        api_reply(call->http, 200, &cmd->reply);
    }
    api_call_free(call);
}

static bool is_hung_up(const struct weir_command *cmd)
{
    return weir_request_is_hung_up(((const struct api_call *)(const void *)cmd)->http);
}

static void post(struct api_request *rq, enum weir_command_kind kind)
{
    struct api_call *call = api_call_new(rq, kind);
    call->body = api_body(rq);
    if (call->body == NULL) {
        api_fail(rq->http, -WEIR_EINVAL, &rq->err);
        api_call_free(call);
        return;
    }
    call->cmd.u.agent.body = call->body;
    call->cmd.u.agent.token_lease = rq->who.lease;
    call->cmd.u.agent.peer = call->peer;
    call->cmd.u.agent.is_hung_up = is_hung_up;
    call->cmd.done = agent_done;
    api_call_post(call);
}

void api_handle_certify(struct api_request *rq)
{
    post(rq, WEIR_COMMAND_AGENT_CERTIFY);
}

void api_handle_join(struct api_request *rq)
{
    post(rq, WEIR_COMMAND_AGENT_JOIN);
}

void api_handle_sync(struct api_request *rq)
{
    post(rq, WEIR_COMMAND_AGENT_SYNC);
}

void api_handle_report(struct api_request *rq)
{
    post(rq, WEIR_COMMAND_AGENT_REPORT);
}
