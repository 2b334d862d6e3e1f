/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of rules: each is made once, numbered, and stored before a shape bears its number. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "engine_priv.h"

static const char kind[] = "policy-list"; /* of their documents */

/* Its number; 0 where it is new, and then *ret_hash is where it is put. */
static uint32_t find_list(const struct weir_engine *e, const struct weir_policy_rule *rule, size_t n, uint64_t *ret_hash)
{
    uint64_t hash = weir_hash_bytes(rule, n * sizeof *rule);
    uint64_t number;
    for (; weir_map_get(&e->policy_at, hash, &number); hash++) {
        size_t m;
        const struct weir_policy_rule *known = weir_core_policy(e->core, (uint32_t)number, &m);
        if (m == n && memcmp(known, rule, n * sizeof *rule) == 0) {
            return (uint32_t)number;
        }
    }
    *ret_hash = hash;
    return 0;
}

static void store(struct weir_engine *e, uint32_t number, const struct weir_policy_rule *rule, size_t n)
{
    char name[16];
    struct weir_str s = WEIR_STR_INIT(1 << 20);
    struct weir_json j = weir_json_begin(&s);
    weir_json_array(&j);
    for (size_t i = 0; i < n; i++) {
        weir_json_object(&j);
        weir_json_kv_bool(&j, "deny", rule[i].deny);
        weir_json_kv_u64(&j, "place", rule[i].place);
        weir_json_kv_u64(&j, "market", rule[i].market);
        weir_json_kv_cstr(&j, "provider", rule[i].provider);
        weir_json_kv_cstr(&j, "region", rule[i].region);
        weir_json_kv_cstr(&j, "gpu", rule[i].gpu);
        weir_json_kv_i64(&j, "price_above_micro", rule[i].price_above_micro);
        weir_json_end(&j);
    }
    weir_json_end(&j);
    (void)snprintf(name, sizeof name, "%010" PRIu32, number); /* so that the order of names is that of numbers */
    weir_engine_put_document(e, &(struct weir_document_row){kind, name, weir_str_cstr(&s)});
    weir_str_release(&s);
}

int weir_engine_policy(struct weir_engine *e, const struct weir_policy_rule *rule, size_t n, uint32_t *ret, struct weir_err *err)
{
    uint64_t hash = 0;
    *ret = find_list(e, rule, n, &hash);
    if (*ret != 0) {
        return 0;
    }
    struct weir_event ev = {.kind = WEIR_EVENT_POLICY_DEFINE};
    ev.u.policy_define.number = weir_core_policies(e->core) + 1;
    ev.u.policy_define.rule = rule;
    ev.u.policy_define.n = n;
    int r = weir_engine_event(e, &ev, err);
    if (r == 0) {
        *ret = ev.u.policy_define.number;
        weir_map_put(&e->policy_at, hash, *ret);
        store(e, *ret, rule, n);
    }
    return r;
}

static void copy_text(const json_t *o, const char *key, char *buf, size_t size)
{
    const char *s = json_string_value(json_object_get(o, key));
    (void)snprintf(buf, size, "%s", s == NULL ? "" : s);
}

struct restoring {
    struct weir_engine *e;
    struct weir_err *err;
};

static int on_list(void *ctx, const struct weir_document_row *row)
{
    struct restoring *x = ctx;
    struct weir_policy_rule rule[WEIR_POLICY_RULES_MAX];
    json_t *list = json_loads(row->json, 0, NULL);
    size_t n = json_array_size(list);
    uint64_t hash = 0;
    uint32_t number = weir_core_policies(x->e->core) + 1;
    memset(rule, 0, sizeof rule);
    for (size_t i = 0; i < n && n <= WEIR_POLICY_RULES_MAX; i++) {
        const json_t *o = json_array_get(list, i);
        rule[i].deny = json_is_true(json_object_get(o, "deny"));
        rule[i].place = (uint8_t)json_integer_value(json_object_get(o, "place"));
        rule[i].market = (uint8_t)json_integer_value(json_object_get(o, "market"));
        rule[i].price_above_micro = json_integer_value(json_object_get(o, "price_above_micro"));
        copy_text(o, "provider", rule[i].provider, sizeof rule[i].provider);
        copy_text(o, "region", rule[i].region, sizeof rule[i].region);
        copy_text(o, "gpu", rule[i].gpu, sizeof rule[i].gpu);
    }
    json_decref(list);
    int r = weir_core_restore_policy(x->e->core, number, rule, n, x->err);
    if (r != 0) {
        return weir_fail_prefix(x->err, r, "store: %s", row->name);
    }
    if (find_list(x->e, rule, n, &hash) == 0) {
        weir_map_put(&x->e->policy_at, hash, number);
    }
    return 0;
}

int engine_restore_policies(struct weir_engine *e, struct weir_err *err)
{
    struct restoring x = {e, err};
    return e->store->ops->each_document(e->store, kind, on_list, &x, err);
}
