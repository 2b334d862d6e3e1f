/* SPDX-License-Identifier: Apache-2.0 */
#include "shape_json.h"

#include <jansson.h>
#include <string.h>

#include "base/json.h"

/* The plain integer fields, so that writing and reading cannot drift apart. */
#define SHAPE_INTS(X)                                                                              \
    X(gpu_mem_mib_min, r->gpu_mem_mib_min)                                                         \
    X(cpu_milli, r->cpu_milli)                                                                     \
    X(mem_mib, r->mem_mib)                                                                         \
    X(nodes, r->nodes)                                                                             \
    X(market, r->market)                                                                           \
    X(local, r->local)                                                                             \
    X(max_duration_us, r->max_duration.us)                                                         \
    X(expected_us, r->expected.us)                                                                 \
    X(checkpoint_every_us, r->checkpoint_every.us)                                                 \
    X(checkpoint_grace_us, r->checkpoint_grace.us)                                                 \
    X(delay_cost_micro_per_hour, r->delay_cost_micro_per_hour)                                     \
    X(max_cost_micro, r->max_cost_micro)                                                           \
    X(stage_bytes, r->stage_bytes)                                                                 \
    X(retries, r->retries)

static const char *model_name(const struct weir_gpu_table *gpus, uint16_t model)
{
    return model == WEIR_GPU_MODEL_ANY ? "" : weir_gpu_table_get(gpus, model)->name;
}

void weir_shape_to_json(const struct weir_request *r, const struct weir_gpu_table *gpus, struct weir_str *out)
{
    struct weir_json j = weir_json_begin(out);
    weir_json_object(&j);
    weir_json_key(&j, "gpus");
    weir_json_array(&j);
    for (uint32_t i = 0; i < r->alternatives; i++) {
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "model", model_name(gpus, r->alternative[i].model));
        weir_json_kv_u64(&j, "count", r->alternative[i].count);
        weir_json_end(&j);
    }
    weir_json_end(&j);
    weir_json_kv_bool(&j, "ordered", r->alternatives_ordered);
    weir_json_key(&j, "clouds");
    weir_json_array(&j);
    for (uint32_t i = 0; i < r->clouds; i++) {
        weir_json_cstr(&j, r->cloud[i]);
    }
    weir_json_end(&j);
    weir_json_key(&j, "regions");
    weir_json_array(&j);
    for (uint32_t i = 0; i < r->regions; i++) {
        weir_json_cstr(&j, r->region[i]);
    }
    weir_json_end(&j);
#define X(name, field) weir_json_kv_i64(&j, #name, (int64_t)(field));
    SHAPE_INTS(X)
#undef X
    if (r->same_zone) {
        weir_json_kv_bool(&j, "same_zone", true);
    }
    if (r->policy != 0) {
        weir_json_kv_u64(&j, "policy", r->policy);
    }
    weir_json_end(&j);
}

static int corrupt(struct weir_err *err, const char *what)
{
    return weir_fail(err, -WEIR_ECORRUPT, "shape: '%s' is missing or out of range", what);
}

static bool copy_names(const json_t *list, char *dst, size_t stride, uint8_t *ret_n)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n > WEIR_PLACEMENT_NAMES_MAX) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const char *s = json_string_value(json_array_get(list, i));
        if (s == NULL || strlen(s) >= stride) {
            return false;
        }
        memcpy(dst + i * stride, s, strlen(s));
    }
    *ret_n = (uint8_t)n;
    return true;
}

static int read_request(const json_t *root, struct weir_gpu_table *gpus, struct weir_request *r, struct weir_err *err)
{
    const json_t *list = json_object_get(root, "gpus");
    if (!json_is_array(list) || json_array_size(list) > WEIR_ALTERNATIVES_MAX) {
        return corrupt(err, "gpus");
    }
    r->alternatives = (uint32_t)json_array_size(list);
    for (uint32_t i = 0; i < r->alternatives; i++) {
        const json_t *item = json_array_get(list, i);
        const char *model = json_string_value(json_object_get(item, "model"));
        json_int_t count = json_integer_value(json_object_get(item, "count"));
        if (model == NULL || count < 1 || count > WEIR_NODE_GPUS_MAX) {
            return corrupt(err, "gpus");
        }
        r->alternative[i].model =
            model[0] == '\0' ? (uint16_t)WEIR_GPU_MODEL_ANY : weir_gpu_table_intern(gpus, weir_sv_of(model));
        r->alternative[i].count = (uint16_t)count;
    }
    r->alternatives_ordered = json_is_true(json_object_get(root, "ordered"));
    if (!copy_names(json_object_get(root, "clouds"), r->cloud[0], sizeof r->cloud[0], &r->clouds)) {
        return corrupt(err, "clouds");
    }
    if (!copy_names(json_object_get(root, "regions"), r->region[0], sizeof r->region[0], &r->regions)) {
        return corrupt(err, "regions");
    }
#define X(name, field)                                                                             \
    {                                                                                              \
        const json_t *v = json_object_get(root, #name);                                            \
        if (!json_is_integer(v)) {                                                                 \
            return corrupt(err, #name);                                                            \
        }                                                                                          \
        (field) = (__typeof__(field))json_integer_value(v);                                        \
    }
    SHAPE_INTS(X)
#undef X
    r->same_zone = json_is_true(json_object_get(root, "same_zone")); /* written where it is asked for */
    r->policy = (uint32_t)json_integer_value(json_object_get(root, "policy")); /* older ones have none */
    return 0;
}

int weir_shape_from_json(const char *json, struct weir_gpu_table *gpus, struct weir_request *ret, struct weir_err *err)
{
    json_error_t at;
    json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, &at);
    if (root == NULL) {
        return weir_fail(err, -WEIR_ECORRUPT, "shape: not JSON: %s", at.text);
    }
    memset(ret, 0, sizeof *ret);
    int r = read_request(root, gpus, ret, err);
    json_decref(root);
    return r;
}
