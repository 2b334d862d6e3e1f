/* SPDX-License-Identifier: Apache-2.0 */

/* weir sandbox: makes the sandbox provider misbehave, to see what weir does then. */

#include <inttypes.h>
#include <stdio.h>

#include "api_client.h"
#include "base/json.h"
#include "base/mem.h"
#include "command.h"
#include "output.h"

static bool matches(const json_t *o, const char *key, const char *text)
{
    char buf[24];
    const char *have = weir_get_text(o, key);
    if (have == NULL && weir_get_i64(o, key, -1) >= 0) {
        (void)snprintf(buf, sizeof buf, "%" PRId64, weir_get_i64(o, key, -1));
        have = buf;
    }
    return have != NULL && weir_streq(have, text);
}

/* The provider knows machines by its own names: finds that of a node given by name, id or instance. */
static int find_instance(struct weir_client *api, const char *text, struct weir_str *ret, struct weir_err *err)
{
    json_t *nodes = NULL;
    json_t *leases = NULL;
    int64_t lease = -1;
    size_t i;
    json_t *o;
    int r = weir_client_list(api, "/v1/nodes", 0, &nodes, NULL, err);
    if (r == 0) {
        r = weir_client_list(api, "/v1/leases", 0, &leases, NULL, err);
    }
    json_array_foreach(nodes, i, o)
    {
        if (matches(o, "name", text) || matches(o, "id", text)) {
            lease = weir_get_i64(o, "lease", -1);
        }
    }
    json_array_foreach(leases, i, o)
    {
        const char *instance = weir_get_text(o, "instance");
        bool it_is =
            lease >= 0 ? weir_get_i64(o, "id", -2) == lease : matches(o, "node", text) || matches(o, "instance", text);
        if (instance != NULL && it_is && ret->n == 0) {
            weir_str_addf(ret, "reclaim:%s", instance);
        }
    }
    json_decref(nodes);
    json_decref(leases);
    if (r == 0 && ret->n == 0) {
        r = weir_fail(err, -WEIR_ENOTFOUND, "there is no rented node '%.100s'; 'weir leases' lists what is rented",
                      text);
    }
    return r;
}

int weir_cmd_sandbox(const struct weir_args *args, struct weir_err *err)
{
    const char *verb = args->operand[0];
    if (!weir_streq(verb, "reclaim") && !weir_streq(verb, "fault")) {
        return weir_fail(err, -WEIR_EINVAL, "usage: weir sandbox reclaim NODE | weir sandbox fault WHAT");
    }
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    if (r < 0) {
        return r;
    }
    struct weir_str what = WEIR_STR_INIT(1024);
    struct weir_str body = WEIR_STR_INIT(4096);
    if (weir_streq(verb, "reclaim")) {
        r = find_instance(api, args->operand[1], &what, err);
    } else {
        weir_str_adds(&what, args->operand[1]);
    }
    struct weir_json j = weir_json_begin(&body);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "what", weir_str_cstr(&what));
    weir_json_end(&j);
    json_t *answer = NULL;
    if (r == 0) {
        r = weir_client_call(api, "POST", "/v1/sandbox/fault", weir_str_cstr(&body), &answer, err);
    }
    if (r == 0 && weir_args_has(args, "json")) {
        weir_print_json(answer);
    } else if (r == 0) {
        weir_talk("the sandbox does: %s", weir_str_cstr(&what));
    }
    json_decref(answer);
    weir_str_release(&what);
    weir_str_release(&body);
    return r;
}
