/* SPDX-License-Identifier: Apache-2.0 */
/* The canonical JSON form. Only what differs from "not given" is written, so equal specifications
 * give equal bytes, and the store's rows stay small. */
#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "spec/spec_priv.h"

/* Exact, unlike the form for people: "1h30m", "90s" is "1m30s", "2ms7us". Read by
 * weir_parse_duration. */
static void duration(struct weir_json *j, const char *key, struct weir_dur d)
{
    static const struct {
        int64_t us;
        const char *unit;
    } units[] = {{WEIR_US_PER_HOUR, "h"},
                 {WEIR_US_PER_MIN, "m"},
                 {WEIR_US_PER_S, "s"},
                 {WEIR_US_PER_MS, "ms"},
                 {1, "us"}};
    char buf[64];
    size_t n = 0;
    int64_t left = d.us;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(units); i++) {
        int64_t count = left / units[i].us;
        if (count != 0) {
            n += (size_t)snprintf(buf + n, sizeof buf - n, "%" PRId64 "%s", count, units[i].unit);
            left -= count * units[i].us;
        }
    }
    weir_json_key(j, key);
    weir_json_string(j, n == 0 ? WEIR_SV("0s") : (struct weir_sv){buf, n});
}

static void mib(struct weir_json *j, const char *key, uint64_t v)
{
    char buf[32];
    int n = v % 1024 == 0 ? snprintf(buf, sizeof buf, "%" PRIu64 "GiB", v / 1024)
                          : snprintf(buf, sizeof buf, "%" PRIu64 "MiB", v);
    weir_json_key(j, key);
    weir_json_string(j, (struct weir_sv){buf, (size_t)n});
}

static void money(struct weir_json *j, const char *key, int64_t micro)
{
    char buf[WEIR_MONEY_SIZE];
    weir_json_kv_cstr(j, key, weir_money_format(micro, buf));
}

static void pairs(struct weir_json *j, const char *key, const struct weir_pair *p, size_t n)
{
    if (n == 0) {
        return;
    }
    weir_json_key(j, key);
    weir_json_object(j);
    for (size_t i = 0; i < n; i++) {
        weir_json_kv_cstr(j, p[i].key, p[i].value);
    }
    weir_json_end(j);
}

static void optional(struct weir_json *j, const char *key, const char *value)
{
    if (value != NULL) {
        weir_json_kv_cstr(j, key, value);
    }
}

static void wish(struct weir_str *out, struct weir_gpu_wish w, const struct weir_gpu_table *gpus)
{
    if (w.model != WEIR_GPU_MODEL_ANY) {
        weir_str_adds(out, weir_gpu_table_get(gpus, w.model)->name);
        weir_str_addc(out, ':');
    }
    weir_str_add_u64(out, w.count);
}

static void accelerators(struct weir_json *j,
                         const struct weir_request *q,
                         const struct weir_gpu_table *gpus)
{
    struct weir_str text = WEIR_STR_INIT(WEIR_ALTERNATIVES_MAX * 64);
    weir_json_key(j, "accelerators");
    if (q->alternatives_ordered) {
        weir_json_array(j);
    }
    for (uint32_t i = 0; i < q->alternatives; i++) {
        wish(&text, q->alternative[i], gpus);
        if (q->alternatives_ordered) {
            weir_json_string(j, weir_str_sv(&text));
            weir_str_clear(&text);
        } else if (i + 1 < q->alternatives) {
            weir_str_addc(&text, ',');
        }
    }
    if (q->alternatives_ordered) {
        weir_json_end(j);
    } else {
        weir_json_string(j, weir_str_sv(&text));
    }
    weir_str_release(&text);
}

static void resources(struct weir_json *j,
                      const struct weir_spec *s,
                      const struct weir_gpu_table *gpus)
{
    const struct weir_request *q = &s->request;
    weir_json_key(j, "resources");
    weir_json_object(j);
    if (q->alternatives > 0) {
        accelerators(j, q, gpus);
    }
    if (q->gpu_mem_mib_min > 0) {
        mib(j, "gpu_memory", q->gpu_mem_mib_min);
    }
    if (q->cpu_milli > 0) {
        char buf[32];
        uint32_t rest = q->cpu_milli % 1000;
        (void)snprintf(buf, sizeof buf, rest == 0 ? "%" PRIu32 : "%" PRIu32 ".%03" PRIu32,
                       q->cpu_milli / 1000, rest);
        weir_json_kv_cstr(j, "cpus", buf);
    }
    if (q->mem_mib > 0) {
        mib(j, "memory", q->mem_mib);
    }
    if (q->market != WEIR_MARKET_AUTO) {
        weir_json_kv_bool(j, "use_spot", q->market == WEIR_MARKET_SPOT);
    }
    if (s->image != NULL) {
        struct weir_str image = WEIR_STR_INIT(IMAGE_MAX_BYTES + 16);
        weir_str_adds(&image, "docker:");
        weir_str_adds(&image, s->image);
        weir_json_kv_cstr(j, "image_id", weir_str_cstr(&image));
        weir_str_release(&image);
    }
    weir_json_end(j);
}

static void array(struct weir_json *j, const struct weir_spec *s)
{
    if (s->n_ranges == 0) {
        return;
    }
    struct weir_str text = WEIR_STR_INIT(WEIR_SPEC_RANGES_MAX * 40 + 16);
    for (size_t i = 0; i < s->n_ranges; i++) {
        const struct weir_range *r = &s->range[i];
        weir_str_addf(&text, "%s%" PRIu32, i == 0 ? "" : ",", r->first);
        if (r->last != r->first) {
            weir_str_addf(&text, "-%" PRIu32, r->last);
            if (r->step != 1) {
                weir_str_addf(&text, ":%" PRIu32, r->step);
            }
        }
    }
    if (s->array_parallel > 0) {
        weir_str_addf(&text, "%%%" PRIu32, s->array_parallel);
    }
    weir_json_kv_cstr(j, "array", weir_str_cstr(&text));
    weir_str_release(&text);
}

static void patterns(struct weir_json *j,
                     const char *key,
                     const char *slots,
                     size_t slot_size,
                     size_t n)
{
    if (n == 0) {
        return;
    }
    weir_json_key(j, key);
    weir_json_array(j);
    for (size_t i = 0; i < n; i++) {
        weir_json_cstr(j, slots + i * slot_size);
    }
    weir_json_end(j);
}

static void placement(struct weir_json *j, const struct weir_request *q)
{
    if (q->local == WEIR_LOCAL_PREFER && q->clouds == 0 && q->regions == 0 && !q->same_zone) {
        return;
    }
    weir_json_key(j, "placement");
    weir_json_object(j);
    if (q->local != WEIR_LOCAL_PREFER) {
        weir_json_kv_cstr(j, "local", q->local == WEIR_LOCAL_ONLY ? "only" : "never");
    }
    patterns(j, "clouds", q->cloud[0], sizeof q->cloud[0], q->clouds);
    patterns(j, "regions", q->region[0], sizeof q->region[0], q->regions);
    if (q->same_zone) {
        weir_json_kv_bool(j, "same_zone", true);
    }
    weir_json_end(j);
}

static void limits(struct weir_json *j, const struct weir_spec *s)
{
    const struct weir_request *q = &s->request;
    if (s->deadline.us != 0) {
        weir_json_kv_time(j, "deadline", s->deadline);
    } else if (s->deadline_after.us != 0) {
        duration(j, "deadline", s->deadline_after);
    }
    if (q->delay_cost_micro_per_hour >= 0) {
        money(j, "delay_cost", q->delay_cost_micro_per_hour);
    }
    if (q->max_cost_micro > 0) {
        money(j, "max_cost", q->max_cost_micro);
    }
    optional(j, "currency", s->currency[0] == '\0' ? NULL : s->currency);
    if (q->max_duration.us > 0) {
        duration(j, "max_duration", q->max_duration);
    }
    if (q->expected.us > 0) {
        duration(j, "expected", q->expected);
    }
    if (q->stage_bytes > 0) {
        mib(j, "input_size", q->stage_bytes >> 20);
    }
}

static void checkpoint(struct weir_json *j, const struct weir_spec *s)
{
    const struct weir_request *q = &s->request;
    if (s->checkpoint_path == NULL && s->checkpoint_signal == 0 && q->checkpoint_every.us == 0 &&
        q->checkpoint_grace.us == 0) {
        return;
    }
    weir_json_key(j, "checkpoint");
    weir_json_object(j);
    optional(j, "path", s->checkpoint_path);
    if (q->checkpoint_every.us > 0) {
        duration(j, "every", q->checkpoint_every);
    }
    if (s->checkpoint_signal > 0) {
        const char *name = signal_name(s->checkpoint_signal);
        if (name != NULL) {
            weir_json_kv_cstr(j, "signal", name);
        } else {
            weir_json_kv_u64(j, "signal", (uint64_t)s->checkpoint_signal);
        }
    }
    if (q->checkpoint_grace.us > 0) {
        duration(j, "grace", q->checkpoint_grace);
    }
    weir_json_end(j);
}

void weir_spec_to_json(const struct weir_spec *s,
                       const struct weir_gpu_table *gpus,
                       struct weir_str *out)
{
    static const char *const origins[] = {"weir", "skypilot", "slurm", "command"};
    struct weir_json j = weir_json_begin(out);
    weir_json_object(&j);
    optional(&j, "name", s->name);
    optional(&j, "project", s->project);
    pairs(&j, "tags", s->tags, s->n_tags);
    resources(&j, s, gpus);
    if (s->request.nodes != 1) {
        weir_json_kv_u64(&j, "num_nodes", s->request.nodes);
    }
    array(&j, s);
    pairs(&j, "envs", s->envs, s->n_envs);
    pairs(&j, "inputs", s->inputs, s->n_inputs);
    pairs(&j, "outputs", s->outputs, s->n_outputs);
    optional(&j, "workdir", s->workdir);
    optional(&j, "setup", s->setup);
    optional(&j, "run", s->run);
    if (s->argv != NULL) {
        weir_json_key(&j, "argv");
        weir_json_array(&j);
        for (char **a = s->argv; *a != NULL; a++) {
            weir_json_cstr(&j, *a);
        }
        weir_json_end(&j);
    }
    placement(&j, &s->request);
    limits(&j, s);
    checkpoint(&j, s);
    if (s->request.retries > 0) {
        weir_json_kv_u64(&j, "retries", s->request.retries);
    }
    if (s->priority != 50) {
        weir_json_kv_i64(&j, "priority", s->priority);
    }
    optional(&j, "stdout", s->stdout_path);
    optional(&j, "stderr", s->stderr_path);
    if (s->origin != WEIR_SPEC_WEIR) {
        weir_json_kv_cstr(&j, "origin", origins[s->origin]);
    }
    weir_json_end(&j);
}
