/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A property: every specification that weir_spec_finish accepts is read back from its canonical
 * JSON as the same specification, field by field. Specifications are made from a seed; a failure
 * prints it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/mem.h"
#include "base/prng.h"
#include "spec/spec.h"

enum { CASES = 3000 };

static bool chance(struct weir_prng *r, uint64_t percent)
{
    return weir_prng_below(r, 100) < percent;
}

/* Text with what JSON must escape and with letters outside ASCII. */
static char *any_text(struct weir_prng *r, size_t max)
{
    static const char *const bits[] = {"a", "Z", "0",  " ", "\"", "\\",   "/",  "\n", "\t", "é",
                                       "€", "𝄞", "$x", "'", "%j", "\x1b", "\r", "{",  ":"};
    struct weir_str s = WEIR_STR_INIT(4096);
    size_t n = 1 + weir_prng_below(r, max);
    for (size_t i = 0; i < n; i++) {
        weir_str_adds(&s, bits[weir_prng_below(r, WEIR_ARRAY_LEN(bits))]);
    }
    return weir_str_take(&s);
}

static char *word(struct weir_prng *r, const char *prefix)
{
    struct weir_str s = WEIR_STR_INIT(256);
    weir_str_adds(&s, prefix);
    size_t n = 1 + weir_prng_below(r, 12);
    for (size_t i = 0; i < n; i++) {
        weir_str_addc(&s, "abcXYZ019_"[weir_prng_below(r, 10)]);
    }
    return weir_str_take(&s);
}

static void add_pairs(struct weir_prng *r,
                      struct weir_pair **pairs,
                      size_t *n,
                      const char *key,
                      bool free_text)
{
    *n = weir_prng_below(r, 5);
    *pairs = weir_calloc(*n + 1, sizeof **pairs);
    for (size_t i = 0; i < *n; i++) {
        char prefix[32];
        (void)snprintf(prefix, sizeof prefix, "%s%zu", key, i);
        (*pairs)[i].key = word(r, prefix);
        (*pairs)[i].value = free_text ? any_text(r, 8) : word(r, "s3://");
    }
}

static struct weir_dur any_duration(struct weir_prng *r)
{
    static const int64_t scale[] = {1, WEIR_US_PER_MS, WEIR_US_PER_S, WEIR_US_PER_MIN,
                                    WEIR_US_PER_HOUR};
    return (struct weir_dur){(int64_t)(1 + weir_prng_below(r, 80000)) *
                             scale[weir_prng_below(r, 5)]};
}

static void fill_request(struct weir_prng *r, struct weir_spec *s, size_t models)
{
    struct weir_request *q = &s->request;
    q->alternatives = (uint32_t)weir_prng_below(r, 4);
    for (uint32_t i = 0; i < q->alternatives; i++) {
        q->alternative[i].model =
            chance(r, 20) ? WEIR_GPU_MODEL_ANY : (uint16_t)weir_prng_below(r, models);
        q->alternative[i].count =
            (uint16_t)(1 + i * 8 + weir_prng_below(r, 8)); /* never the same twice */
    }
    q->alternatives_ordered = q->alternatives > 1 && chance(r, 30);
    q->gpu_mem_mib_min =
        q->alternatives > 0 && chance(r, 30) ? (uint32_t)weir_prng_below(r, 200000) : 0;
    q->market = (uint8_t)weir_prng_below(r, 3);
    q->local = (uint8_t)(q->market == WEIR_MARKET_SPOT ? 2 * weir_prng_below(r, 2)
                                                       : weir_prng_below(r, 3));
    q->same_zone = chance(r, 30);
    for (; q->local != WEIR_LOCAL_ONLY && chance(r, 30) && q->clouds < 8; q->clouds++) {
        (void)snprintf(q->cloud[q->clouds], sizeof q->cloud[0], "c%d*", q->clouds);
    }
    for (; q->local != WEIR_LOCAL_ONLY && chance(r, 30) && q->regions < 8; q->regions++) {
        (void)snprintf(q->region[q->regions], sizeof q->region[0], "eu-%d-?", q->regions);
    }
    q->cpu_milli = chance(r, 50) ? (uint32_t)weir_prng_below(r, 256001) : 0;
    q->mem_mib = chance(r, 50) ? weir_prng_below(r, 4 << 20) : 0;
    q->nodes = chance(r, 80) ? 1 : (uint32_t)(1 + weir_prng_below(r, 256));
    q->max_duration = chance(r, 50) ? any_duration(r) : (struct weir_dur){0};
    q->expected = chance(r, 30) ? any_duration(r) : (struct weir_dur){0};
    q->checkpoint_every = chance(r, 30) ? any_duration(r) : (struct weir_dur){0};
    q->checkpoint_grace = chance(r, 30) ? any_duration(r) : (struct weir_dur){0};
    q->delay_cost_micro_per_hour = chance(r, 50) ? (int64_t)weir_prng_below(r, 1000000000) : -1;
    q->max_cost_micro = chance(r, 50) ? (int64_t)weir_prng_below(r, UINT64_C(900000000000000)) : 0;
    q->stage_bytes = chance(r, 30) ? weir_prng_below(r, UINT64_C(1) << 42) : 0;
    q->retries = (uint32_t)weir_prng_below(r, 3);
}

static struct weir_spec *any_spec(struct weir_prng *r, size_t models)
{
    struct weir_spec *s = weir_spec_new();
    s->name = word(r, "j");
    s->project = chance(r, 50) ? word(r, "p/") : NULL;
    s->priority = chance(r, 50) ? 50 : (int32_t)weir_prng_below(r, 1001);
    fill_request(r, s, models);
    if (chance(r, 40)) {
        uint32_t next = 0;
        s->n_ranges = 1 + weir_prng_below(r, 5);
        for (size_t i = 0; i < s->n_ranges; i++) {
            struct weir_range *g = &s->range[i];
            g->first = next + (uint32_t)weir_prng_below(r, 10);
            uint32_t steps = (uint32_t)weir_prng_below(r, 100);
            g->step = steps == 0 ? 1 : 1 + (uint32_t)weir_prng_below(r, 9);
            g->last = g->first + steps * g->step;
            next = g->last + 1;
        }
        s->array_parallel = (uint32_t)weir_prng_below(r, 20);
    }
    if (chance(r, 30)) {
        s->deadline.us = INT64_C(1790000000000000) + (int64_t)weir_prng_below(r, UINT64_C(1) << 40);
    } else if (chance(r, 30)) {
        s->deadline_after = any_duration(r);
    }
    s->image = chance(r, 30) ? word(r, "repo/image:") : NULL;
    s->workdir = chance(r, 30) ? word(r, "/home/") : NULL;
    add_pairs(r, &s->tags, &s->n_tags, "t", false);
    add_pairs(r, &s->envs, &s->n_envs, "E", true);
    add_pairs(r, &s->inputs, &s->n_inputs, "/in", false);
    add_pairs(r, &s->outputs, &s->n_outputs, "/out", false);
    s->setup = chance(r, 30) ? any_text(r, 40) : NULL;
    if (chance(r, 50)) {
        size_t n = 1 + weir_prng_below(r, 6);
        s->argv = weir_calloc(n + 1, sizeof *s->argv);
        for (size_t i = 0; i < n; i++) {
            s->argv[i] = i > 0 && chance(r, 20) ? weir_strdup("") : any_text(r, 10);
        }
    } else {
        s->run = word(r, "run ");
    }
    s->checkpoint_path = chance(r, 30) ? word(r, "/ckpt/") : NULL;
    s->checkpoint_signal = chance(r, 30) ? (int)(1 + weir_prng_below(r, 64)) : 0;
    s->stdout_path = chance(r, 20) ? word(r, "out-%j.") : NULL;
    s->stderr_path = chance(r, 20) ? word(r, "err-%j.") : NULL;
    s->origin = (enum weir_spec_origin)weir_prng_below(r, 4);
    return s;
}

static bool same(const char *a, const char *b)
{
    return (a == NULL) == (b == NULL) && (a == NULL || weir_streq(a, b));
}

static bool same_pairs(const struct weir_pair *a, size_t n, const struct weir_pair *b, size_t m)
{
    for (size_t i = 0; i < n && n == m; i++) {
        if (!weir_streq(a[i].key, b[i].key) || !weir_streq(a[i].value, b[i].value)) {
            return false;
        }
    }
    return n == m;
}

static bool same_argv(char **a, char **b)
{
    if (a == NULL || b == NULL) {
        return a == b;
    }
    size_t i = 0;
    for (; a[i] != NULL && b[i] != NULL; i++) {
        if (!weir_streq(a[i], b[i])) {
            return false;
        }
    }
    return a[i] == b[i];
}

static bool same_spec(const struct weir_spec *a, const struct weir_spec *b)
{
    return same(a->name, b->name) && same(a->project, b->project) && a->priority == b->priority &&
           memcmp(&a->request, &b->request, sizeof a->request) == 0 && a->n_ranges == b->n_ranges &&
           memcmp(a->range, b->range, sizeof a->range) == 0 &&
           a->array_parallel == b->array_parallel && a->deadline.us == b->deadline.us &&
           a->deadline_after.us == b->deadline_after.us && same(a->image, b->image) &&
           same(a->workdir, b->workdir) && same_pairs(a->tags, a->n_tags, b->tags, b->n_tags) &&
           same_pairs(a->envs, a->n_envs, b->envs, b->n_envs) &&
           same_pairs(a->inputs, a->n_inputs, b->inputs, b->n_inputs) &&
           same_pairs(a->outputs, a->n_outputs, b->outputs, b->n_outputs) &&
           same(a->setup, b->setup) && same(a->run, b->run) && same_argv(a->argv, b->argv) &&
           same(a->checkpoint_path, b->checkpoint_path) &&
           a->checkpoint_signal == b->checkpoint_signal && same(a->stdout_path, b->stdout_path) &&
           same(a->stderr_path, b->stderr_path) && a->origin == b->origin;
}

static void a_specification_survives_its_canonical_form(void **state)
{
    (void)state;
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    (void)weir_gpu_table_intern(gpus, WEIR_SV("Nova-9"));
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        struct weir_prng r = weir_prng_seed(seed);
        struct weir_spec *s = any_spec(&r, weir_gpu_table_count(gpus));
        struct weir_spec *again = NULL;
        struct weir_err err = {{0}};
        struct weir_str json = WEIR_STR_INIT(1 << 20);
        if (weir_spec_finish(s, &err) != 0) {
            print_error("seed %llu: %s\n", (unsigned long long)seed, err.text);
            fail();
        }
        weir_spec_to_json(s, gpus, &json);
        json_t *root = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, NULL);
        if (root == NULL || weir_spec_from_json(root, gpus, &again, &err) != 0 ||
            !same_spec(s, again)) {
            print_error("seed %llu: %s\n%s\n", (unsigned long long)seed, err.text,
                        weir_str_cstr(&json));
            fail();
        }
        json_decref(root);
        weir_str_release(&json);
        weir_spec_free(s);
        weir_spec_free(again);
    }
    weir_gpu_table_free(gpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_specification_survives_its_canonical_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
