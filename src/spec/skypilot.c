/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SkyPilot task files: the keys that weir's own form does not have. Each is honoured, named in a
 * warning (ignoring it is harmless), or refused (ignoring it would change the result). The keys and
 * their meaning: https://docs.skypilot.co/en/latest/reference/yaml-spec.html.
 */
#include <stdlib.h>

#include "base/parse.h"
#include "spec/spec_priv.h"

static const struct {
    const char *path;
    const char *text;
} reasons[] = {
    {"resources.priority_class", "ignored; use priority (0 to 1000)"},
    {"resources.disk_size", "ignored: the disk of the node is used as it is"},
    {"resources.disk_tier", "ignored: the disk of the node is used as it is"},
    {"resources.local_disk", "ignored: the disk of the node is used as it is"},
    {"resources.ephemeral_storage", "ignored: the disk of the node is used as it is"},
    {"resources.network_tier", "ignored: weir prefers fast networks for gangs by itself"},
    {"resources.accelerator_args", "ignored: it is for TPUs only"},
    {"resources.autostop", "ignored: weir ends rented machines by itself"},
    {"resources.ports", "ignored: no port of a rented machine is opened to the Internet"},
    {"inputs", "the size estimates are ignored; use input_size"},
    {"outputs", "the size estimates are ignored"},
    {"config", "ignored: it configures SkyPilot itself"},
    {"experimental", "ignored: it configures SkyPilot itself"},
    {"resources.max_hourly_cost",
     "a limit per hour is not supported; use max_cost for the whole job"},
    {"resources.hooks",
     "hooks are not supported; use checkpoint.signal and let the program handle it"},
    {"resources.volumes", "volumes are not supported; use inputs and outputs"},
    {"resources.any_of", "may not stand inside any_of or ordered"},
    {"resources.ordered", "may not stand inside any_of or ordered"},
    {"event_callback", "is not supported; watch the job with weir wait"},
    {"service", "services are not supported; weir runs jobs that end"},
    {"pool", "worker pools are not supported; use array for many tasks"},
    {"volumes", "volumes are not supported; use inputs and outputs"},
};

static const char *reason_of(const char *path)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(reasons); i++) {
        if (weir_streq(reasons[i].path, path)) {
            return reasons[i].text;
        }
    }
    return "is not supported";
}

int sky_ignore(struct reader *rd, const struct doc *d, const char *path)
{
    if (d->kind != DOC_NULL) {
        read_warn(rd, d, path, "%s", reason_of(path));
    }
    return 0;
}

int sky_refuse(struct reader *rd, const struct doc *d, const char *path)
{
    return d->kind == DOC_NULL ? 0
                               : read_fail(rd, d, -WEIR_EUNSUPPORTED, path, "%s", reason_of(path));
}

/* ---- where ---- */

static int add_cloud(struct reader *rd, const struct doc *d, const char *path, struct weir_sv name)
{
    char lower[WEIR_PROVIDER_SIZE * 2] = {0};
    struct weir_sv n = weir_sv_eq_nocase(name, WEIR_SV("k8s")) ? WEIR_SV("kubernetes") : name;
    for (size_t i = 0; i < n.n && i < sizeof lower - 1; i++) {
        lower[i] = (char)(n.p[i] >= 'A' && n.p[i] <= 'Z' ? n.p[i] - 'A' + 'a' : n.p[i]);
    }
    int r = spec_add_cloud(&rd->spec->request, weir_sv_of(lower), rd->err);
    return r == 0 ? 0 : read_fail_prefix(rd, d, r, path);
}

static int add_region(struct reader *rd, const struct doc *d, const char *path, struct weir_sv name)
{
    int r = spec_add_region(&rd->spec->request, name, rd->err);
    return r == 0 ? 0 : read_fail_prefix(rd, d, r, path);
}

/* A zone names its region: "us-east-1a", "us-central1-a". Nothing where it is of another form. */
static struct weir_sv region_of_zone(struct weir_sv zone)
{
    bool letter = zone.n > 3 && zone.p[zone.n - 1] >= 'a' && zone.p[zone.n - 1] <= 'z';
    char before = zone.n > 3 ? zone.p[zone.n - 2] : '\0';
    if (letter && before == '-') {
        return (struct weir_sv){zone.p, zone.n - 2};
    }
    if (letter && before >= '0' && before <= '9') {
        return (struct weir_sv){zone.p, zone.n - 1};
    }
    return (struct weir_sv){NULL, 0};
}

static int add_zone(struct reader *rd, const struct doc *d, const char *path, struct weir_sv zone)
{
    struct weir_sv region = region_of_zone(zone);
    if (rd->spec->request.regions == 0 && region.n > 0) {
        read_warn(rd, d, path, "the zone is ignored; its region %.*s is honoured",
                  WEIR_SV_ARG(region));
        return add_region(rd, d, path, region);
    }
    read_warn(rd, d, path, "the zone is ignored; weir lets the provider choose it");
    return 0;
}

static bool is_any(struct weir_sv s)
{
    return s.n == 0 || weir_sv_eq(s, WEIR_SV("*"));
}

/* cloud[/region[/zone]]; of Kubernetes the rest is a context, which takes the region's place. */
int sky_infra(struct reader *rd, const struct doc *d, const char *path)
{
    struct weir_sv rest;
    if (d->kind == DOC_NULL) {
        return 0;
    }
    int r = read_scalar(rd, d, path, &rest);
    if (r != 0) {
        return r;
    }
    struct weir_sv cloud = weir_sv_cut(&rest, '/');
    bool is_kubernetes =
        weir_sv_eq_nocase(cloud, WEIR_SV("k8s")) || weir_sv_eq_nocase(cloud, WEIR_SV("kubernetes"));
    struct weir_sv region = rest.p == NULL || is_kubernetes ? rest : weir_sv_cut(&rest, '/');
    r = is_any(cloud) ? 0 : add_cloud(rd, d, path, cloud);
    if (r == 0 && region.p != NULL && !is_any(region)) {
        r = add_region(rd, d, path, region);
    }
    if (r == 0 && !is_kubernetes && region.p != NULL && rest.p != NULL && !is_any(rest)) {
        r = add_zone(rd, d, path, rest);
    }
    return r;
}

int sky_cloud(struct reader *rd, const struct doc *d, const char *path)
{
    struct weir_sv text;
    if (d->kind == DOC_NULL) {
        return 0;
    }
    int r = read_scalar(rd, d, path, &text);
    return r != 0 ? r : add_cloud(rd, d, path, text);
}

int sky_region(struct reader *rd, const struct doc *d, const char *path)
{
    struct weir_sv text;
    if (d->kind == DOC_NULL) {
        return 0;
    }
    int r = read_scalar(rd, d, path, &text);
    return r != 0 ? r : add_region(rd, d, path, text);
}

int sky_zone(struct reader *rd, const struct doc *d, const char *path)
{
    struct weir_sv text;
    if (d->kind == DOC_NULL) {
        return 0;
    }
    int r = read_scalar(rd, d, path, &text);
    return r != 0 ? r : add_zone(rd, d, path, text);
}

/* ---- what ---- */

int sky_instance_type(struct reader *rd, const struct doc *d, const char *path)
{
    struct weir_sv text;
    if (d->kind == DOC_NULL) {
        return 0;
    }
    int r = read_scalar(rd, d, path, &text);
    if (r != 0) {
        return r;
    }
    /* Checked against the accelerators at the end, since the keys come in any order. */
    read_warn(rd, d, path, "ignored: weir chooses the machine by accelerators, cpus and memory");
    return 0;
}

int sky_labels(struct reader *rd, const struct doc *d, const char *path)
{
    return read_pairs(rd, d, path, WEIR_SPEC_TAGS_MAX, &rd->spec->tags, &rd->spec->n_tags);
}

int sky_priority(struct reader *rd, const struct doc *d, const char *path)
{
    struct weir_sv text;
    int64_t v;
    if (d->kind == DOC_NULL) {
        return 0;
    }
    int r = read_scalar(rd, d, path, &text);
    if (r != 0) {
        return r;
    }
    r = weir_parse_i64(text, -1000, 1000, &v, rd->err);
    if (r != 0) {
        return read_fail_prefix(rd, d, r, path);
    }
    v = v + 50 < 0 ? 0 : v + 50 > 1000 ? 1000 : v + 50;
    rd->spec->priority = (int32_t)v;
    read_warn(rd, d, path, "counted from weir's default of 50: the job gets priority %d",
              rd->spec->priority);
    return 0;
}

static int max_restarts(struct reader *rd, const struct doc *d, const char *path)
{
    struct weir_sv text;
    uint64_t v;
    int r = read_scalar(rd, d, path, &text);
    if (r != 0) {
        return r;
    }
    r = weir_parse_u64(text, 0, 1000, &v, rd->err);
    if (r != 0) {
        return read_fail_prefix(rd, d, r, path);
    }
    rd->spec->request.retries = (uint32_t)v;
    return 0;
}

/* Where a job goes after it lost its machine is always decided anew, by cost. */
static int strategy(struct reader *rd, const struct doc *d, const char *path)
{
    struct weir_sv text;
    if (d->kind == DOC_NULL) {
        return 0;
    }
    int r = read_scalar(rd, d, path, &text);
    if (r == 0 && !weir_sv_eq_nocase(text, WEIR_SV("none"))) {
        read_warn(rd, d, path,
                  "'%.*s' is ignored: weir restarts lost tasks and chooses the place by cost",
                  text.n > 40 ? 40 : (int)text.n, text.p);
    }
    return r;
}

static int exit_codes(struct reader *rd, const struct doc *d, const char *path)
{
    return read_fail(rd, d, -WEIR_EUNSUPPORTED, path,
                     "restarts by exit code are not supported; use retries");
}

int sky_job_recovery(struct reader *rd, const struct doc *d, const char *path)
{
    static const struct key_row rows[] = {
        {"strategy", "resources.job_recovery.strategy", strategy},
        {"max_restarts_on_errors", "resources.job_recovery.max_restarts_on_errors", max_restarts},
        {"recover_on_exit_codes", "resources.job_recovery.recover_on_exit_codes", exit_codes},
    };
    return d->kind == DOC_MAP ? read_map(rd, d, rows, WEIR_ARRAY_LEN(rows), path)
                              : strategy(rd, d, path);
}

/* ---- any_of, ordered ---- */

/* Takes the places of a candidate that names its own, instead of adding them to the common ones. */
static void forget_places(struct weir_request *q, const struct doc *candidate)
{
    bool infra = doc_get(candidate, "infra") != NULL;
    if (infra || doc_get(candidate, "cloud") != NULL) {
        memset(q->cloud, 0, sizeof q->cloud);
        q->clouds = 0;
    }
    if (infra || doc_get(candidate, "cloud") != NULL || doc_get(candidate, "region") != NULL ||
        doc_get(candidate, "zone") != NULL) {
        memset(q->region, 0, sizeof q->region);
        q->regions = 0;
    }
}

static int merge_alternatives(struct reader *rd,
                              const struct doc *d,
                              const char *path,
                              struct weir_request *all,
                              const struct weir_request *one)
{
    for (uint32_t i = 0; i < one->alternatives; i++) {
        bool known = false;
        for (uint32_t k = 0; k < all->alternatives; k++) {
            known = known || (all->alternative[k].model == one->alternative[i].model &&
                              all->alternative[k].count == one->alternative[i].count);
        }
        if (known) {
            continue;
        }
        if (all->alternatives == WEIR_ALTERNATIVES_MAX) {
            return read_fail(rd, d, -WEIR_ELIMIT, path, "at most %d alternative GPUs are allowed",
                             WEIR_ALTERNATIVES_MAX);
        }
        all->alternative[all->alternatives++] = one->alternative[i];
    }
    return 0;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && weir_streq(a, b));
}

/* Adds what a further candidate allows to what is allowed already. */
static int merge(struct reader *rd,
                 const struct doc *d,
                 const char *path,
                 struct weir_spec *all,
                 const struct weir_spec *one)
{
    struct weir_request *q = &all->request;
    const struct weir_request *p = &one->request;
    if (q->cpu_milli != p->cpu_milli || q->mem_mib != p->mem_mib ||
        q->gpu_mem_mib_min != p->gpu_mem_mib_min || q->retries != p->retries ||
        !same_text(all->image, one->image)) {
        return read_fail(rd, d, -WEIR_EUNSUPPORTED, path,
                         "candidates may differ in accelerators, place and use_spot only; give the "
                         "rest once, outside");
    }
    if ((q->alternatives == 0) != (p->alternatives == 0)) {
        return read_fail(rd, d, -WEIR_EUNSUPPORTED, path,
                         "either all candidates name accelerators or none");
    }
    int r = merge_alternatives(rd, d, path, q, p);
    if (p->market != q->market) {
        q->market = WEIR_MARKET_AUTO;
    }
    /* A candidate without a place may run anywhere, and then all may. */
    if (q->clouds == 0 || p->clouds == 0) {
        memset(q->cloud, 0, sizeof q->cloud);
        q->clouds = 0;
    }
    for (size_t i = 0; r == 0 && q->clouds > 0 && i < p->clouds; i++) {
        r = spec_add_cloud(q, weir_sv_of(p->cloud[i]), rd->err);
    }
    if (q->regions == 0 || p->regions == 0) {
        memset(q->region, 0, sizeof q->region);
        q->regions = 0;
    }
    for (size_t i = 0; r == 0 && q->regions > 0 && i < p->regions; i++) {
        r = spec_add_region(q, weir_sv_of(p->region[i]), rd->err);
    }
    return r;
}

/* One candidate: the common keys, then its own over them. */
static int read_candidate(struct reader *rd,
                          const struct doc *common,
                          const struct doc *candidate,
                          const char *path,
                          struct weir_spec **ret)
{
    WEIR_CLEANUP(weir_spec_freep) struct weir_spec *s = weir_spec_new();
    struct reader one = *rd;
    one.spec = s;
    one.has_market = false;
    if (candidate->kind != DOC_MAP) {
        return read_fail(
            rd, candidate, -WEIR_EINVAL, path,
            "each candidate must be a mapping such as {infra: aws, accelerators: A100}");
    }
    int r = read_resource_keys(&one, common, "resources");
    if (r == 0) {
        forget_places(&s->request, candidate);
        r = read_resource_keys(&one, candidate, path);
    }
    if (r != 0) {
        return r;
    }
    if (!one.has_market) {
        s->request.market = WEIR_MARKET_ON_DEMAND;
    }
    *ret = WEIR_TAKE(s);
    return 0;
}

static void take_warnings(struct weir_spec *to, const struct weir_spec *from)
{
    for (size_t i = 0; i < from->n_warnings; i++) {
        spec_warn(to, "%s", from->warning[i]);
    }
}

/* Hands the merged request over, and what else a resources section can hold. */
static void take_resources(struct weir_spec *s, struct weir_spec *all)
{
    const struct weir_request merged = all->request;
    struct weir_request *q = &s->request;
    q->alternatives = merged.alternatives;
    memcpy(q->alternative, merged.alternative, sizeof q->alternative);
    q->alternatives_ordered = merged.alternatives_ordered;
    q->market = merged.market;
    q->clouds = merged.clouds;
    q->regions = merged.regions;
    memcpy(q->cloud, merged.cloud, sizeof q->cloud);
    memcpy(q->region, merged.region, sizeof q->region);
    q->gpu_mem_mib_min = merged.gpu_mem_mib_min;
    q->cpu_milli = merged.cpu_milli;
    q->mem_mib = merged.mem_mib;
    q->retries = merged.retries != 0 ? merged.retries : q->retries;
    free(s->image);
    s->image = WEIR_TAKE(all->image);
    if (all->priority != 50) {
        s->priority = all->priority;
    }
    for (size_t i = 0; i < all->n_tags; i++) {
        bool known = s->n_tags == WEIR_SPEC_TAGS_MAX;
        for (size_t k = 0; !known && k < s->n_tags; k++) {
            known = weir_streq(s->tags[k].key, all->tags[i].key);
        }
        if (!known) {
            pair_add(&s->tags, &s->n_tags, weir_sv_of(all->tags[i].key),
                     weir_sv_of(all->tags[i].value));
        }
    }
}

int sky_candidates(struct reader *rd, const struct doc *resources, const char *path)
{
    WEIR_CLEANUP(weir_spec_freep) struct weir_spec *all = NULL;
    const struct doc *any_of = doc_get(resources, "any_of");
    const struct doc *ordered = doc_get(resources, "ordered");
    const struct doc *list = any_of != NULL ? any_of : ordered;
    path = any_of != NULL ? "resources.any_of" : "resources.ordered";
    if (any_of != NULL && ordered != NULL) {
        return read_fail(rd, ordered, -WEIR_EINVAL, "resources",
                         "any_of and ordered are both given; leave out one of the two");
    }
    if (list->kind != DOC_LIST || list->n == 0) {
        return read_fail(rd, list, -WEIR_EINVAL, path,
                         "must be a list of candidates such as [{infra: aws}, {infra: gcp}]");
    }
    /* The common keys without the list itself, in a chain of copies; the values stay shared. */
    WEIR_CLEANUP(weir_freep) struct doc *copies = weir_calloc(resources->n, sizeof *copies);
    struct doc common = *resources;
    common.first = common.last = NULL;
    common.n = 0;
    for (const struct doc *d = resources->first; d != NULL; d = d->next) {
        if (d != list) {
            copies[common.n] = *d;
            copies[common.n].next = NULL;
            *(common.last == NULL ? &common.first : &common.last->next) = &copies[common.n];
            common.last = &copies[common.n++];
        }
    }
    bool many_places = false;
    for (const struct doc *d = list->first; d != NULL; d = d->next) {
        WEIR_CLEANUP(weir_spec_freep) struct weir_spec *one = NULL;
        int r = read_candidate(rd, &common, d, path, &one);
        if (r != 0) {
            return r;
        }
        take_warnings(rd->spec, one);
        if (all == NULL) {
            all = WEIR_TAKE(one);
            continue;
        }
        many_places =
            many_places ||
            memcmp(all->request.cloud, one->request.cloud, sizeof one->request.cloud) != 0 ||
            memcmp(all->request.region, one->request.region, sizeof one->request.region) != 0;
        r = merge(rd, d, path, all, one);
        if (r != 0) {
            return r;
        }
    }
    if (many_places && all->request.alternatives > 1) {
        read_warn(rd, list, path, "weir chooses among all combinations of these GPUs and places");
    } else if (many_places && ordered != NULL) {
        read_warn(rd, list, path, "the order of the places is not kept; weir chooses by cost");
    }
    all->request.alternatives_ordered =
        all->request.alternatives > 1 && (ordered != NULL || all->request.alternatives_ordered);
    rd->has_market = true;
    take_resources(rd->spec, all);
    return 0;
}

/* ---- files ---- */

/* Replaces $NAME and ${NAME} by the job's envs, as SkyPilot does in file_mounts; other names stay.
 */
static void expand(const struct weir_spec *s, struct weir_sv text, struct weir_str *out)
{
    for (size_t i = 0; i < text.n;) {
        if (text.p[i] != '$') {
            weir_str_addc(out, text.p[i++]);
            continue;
        }
        bool braces = i + 1 < text.n && text.p[i + 1] == '{';
        size_t start = i + 1 + braces;
        size_t end = start;
        while (end < text.n && ((text.p[end] >= 'a' && text.p[end] <= 'z') ||
                                (text.p[end] >= 'A' && text.p[end] <= 'Z') ||
                                (text.p[end] >= '0' && text.p[end] <= '9') || text.p[end] == '_')) {
            end++;
        }
        bool closed = !braces || (end < text.n && text.p[end] == '}');
        const char *value = NULL;
        for (size_t k = 0; closed && k < s->n_envs; k++) {
            if (weir_sv_eq(weir_sv_of(s->envs[k].key),
                           (struct weir_sv){text.p + start, end - start})) {
                value = s->envs[k].value;
            }
        }
        size_t next = end + (braces && closed);
        if (value != NULL) {
            weir_str_adds(out, value);
        } else {
            weir_str_add(out, text.p + i, next - i);
        }
        i = next;
    }
}

struct mount {
    struct weir_sv source;
    bool is_storage; /* given as a mapping: a bucket that is mounted unless its mode says COPY */
    bool copies;     /* mode: COPY */
};

static int read_mount(struct reader *rd, const struct doc *d, const char *path, struct mount *ret)
{
    static const char *const ignored[] = {"name", "persistent", "mount_options",
                                          "type", "config",     "store"};
    struct mount m = {.is_storage = d->kind == DOC_MAP};
    if (d->kind == DOC_SCALAR) {
        *ret = (struct mount){.source = d->text};
        return 0;
    }
    if (!m.is_storage) {
        return read_fail(rd, d, -WEIR_EINVAL, path, "must be a source such as s3://bucket/folder");
    }
    for (const struct doc *c = d->first; c != NULL; c = c->next) {
        bool known = weir_sv_eq(c->key, WEIR_SV("source")) || weir_sv_eq(c->key, WEIR_SV("mode"));
        for (size_t i = 0; i < WEIR_ARRAY_LEN(ignored); i++) {
            known = known || weir_sv_eq(c->key, weir_sv_of(ignored[i]));
        }
        if (!known) {
            return read_fail(rd, c, -WEIR_EINVAL, path,
                             "unknown key '%.*s'; known are source, name, store, mode, persistent",
                             c->key.n > 60 ? 60 : (int)c->key.n, c->key.p);
        }
    }
    const struct doc *source = doc_get(d, "source");
    const struct doc *mode = doc_get(d, "mode");
    const struct doc *store = doc_get(d, "store");
    if (store != NULL && weir_sv_eq_nocase(store->text, WEIR_SV("volume"))) {
        return read_fail(rd, store, -WEIR_EUNSUPPORTED, path,
                         "volumes are not supported; use inputs and outputs");
    }
    if (source == NULL || source->kind != DOC_SCALAR || source->text.n == 0) {
        return read_fail(rd, d, -WEIR_EUNSUPPORTED, path,
                         "a bucket without one source is not made; create it and name it as "
                         "source: s3://bucket");
    }
    m.source = source->text;
    if (mode != NULL && mode->kind == DOC_SCALAR) {
        m.copies = weir_sv_eq_nocase(mode->text, WEIR_SV("COPY"));
        if (!m.copies && !weir_sv_eq_nocase(mode->text, WEIR_SV("MOUNT")) &&
            !weir_sv_eq_nocase(mode->text, WEIR_SV("MOUNT_CACHED"))) {
            return read_fail(rd, mode, -WEIR_EINVAL, path, "mode is COPY, MOUNT or MOUNT_CACHED");
        }
    }
    *ret = m;
    return 0;
}

static bool is_url(const char *s)
{
    return strstr(s, "://") != NULL;
}

static int add_mount(struct reader *rd,
                     const struct doc *d,
                     const char *path,
                     const char *target,
                     const char *source,
                     struct mount m)
{
    struct weir_spec *s = rd->spec;
    if (s->n_inputs == WEIR_SPEC_MOUNTS_MAX || s->n_outputs == WEIR_SPEC_MOUNTS_MAX) {
        return read_fail(rd, d, -WEIR_ELIMIT, path, "more than %d mounts", WEIR_SPEC_MOUNTS_MAX);
    }
    if (target[0] != '/') {
        return read_fail(rd, d, -WEIR_EUNSUPPORTED, path,
                         "'%.100s' is not an absolute path; a run has no home folder of its own, "
                         "write for example /data",
                         target);
    }
    if (!is_url(source)) {
        if (m.is_storage && !m.copies) {
            return read_fail(rd, d, -WEIR_EUNSUPPORTED, path,
                             "'%.100s' is not uploaded to a bucket; upload it and name it as "
                             "source: s3://bucket",
                             source);
        }
        read_warn(rd, d, path,
                  "%.100s is a local path and is not uploaded: it must be there on the node that "
                  "runs the task",
                  source);
    }
    pair_add(&s->inputs, &s->n_inputs, weir_sv_of(target), weir_sv_of(source));
    if (m.is_storage && !m.copies) {
        pair_add(&s->outputs, &s->n_outputs, weir_sv_of(target), weir_sv_of(source));
        read_warn(rd, d, path,
                  "%.100s is not mounted: it is copied to %.100s before the run and back after it",
                  source, target);
    }
    return 0;
}

/* Done at the end, because envs may stand after file_mounts; here only the form is checked. */
int sky_file_mounts(struct reader *rd, const struct doc *d, const char *path)
{
    return d->kind == DOC_MAP || d->kind == DOC_NULL
               ? 0
               : read_fail(rd, d, -WEIR_EINVAL, path, "must be a mapping of paths to sources");
}

static int finish_file_mounts(struct reader *rd, const struct doc *d, const char *path)
{
    for (const struct doc *c = d == NULL ? NULL : d->first; c != NULL; c = c->next) {
        struct mount m = {0};
        int r = read_mount(rd, c, path, &m);
        if (r != 0) {
            return r;
        }
        struct weir_str target = WEIR_STR_INIT(PATH_MAX_BYTES);
        struct weir_str source = WEIR_STR_INIT(PATH_MAX_BYTES);
        expand(rd->spec, c->key, &target);
        expand(rd->spec, m.source, &source);
        if (target.overflowed || source.overflowed) {
            r = read_fail(rd, c, -WEIR_ELIMIT, path, "a path has at most %d bytes", PATH_MAX_BYTES);
        } else {
            r = add_mount(rd, c, path, weir_str_cstr(&target), weir_str_cstr(&source), m);
        }
        weir_str_release(&target);
        weir_str_release(&source);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

int sky_secrets(struct reader *rd, const struct doc *d, const char *path)
{
    if (d->kind == DOC_MAP && d->n > 0) {
        read_warn(rd, d, path,
                  "stored and shown like envs; keep what is secret out of the job file");
    }
    return read_pairs(rd, d, path, WEIR_SPEC_ENVS_MAX, &rd->spec->envs, &rd->spec->n_envs);
}

bool sky_is_size_estimate(const struct doc *d)
{
    int64_t gb;
    for (const struct doc *c = d->kind == DOC_MAP ? d->first : NULL; c != NULL; c = c->next) {
        if (c->kind != DOC_SCALAR || weir_parse_decimal(c->text, 6, &gb, NULL) != 0) {
            return false;
        }
    }
    return d->kind == DOC_MAP && d->n > 0;
}

int sky_finish(struct reader *rd, const struct doc *root)
{
    struct weir_spec *s = rd->spec;
    const struct doc *resources = doc_get(root, "resources");
    s->origin = WEIR_SPEC_SKYPILOT;
    if (!rd->has_market) {
        s->request.market = WEIR_MARKET_ON_DEMAND;
    }
    const struct doc *type = doc_get(resources, "instance_type");
    if (type != NULL && type->kind == DOC_SCALAR && s->request.alternatives == 0 &&
        s->request.cpu_milli == 0) {
        return read_fail(rd, type, -WEIR_EUNSUPPORTED, "resources.instance_type",
                         "an instance type alone does not say what the job needs; add "
                         "accelerators, or cpus and memory");
    }
    if (s->request.clouds > 0 || s->request.regions > 0) {
        spec_warn(s, "resources: the place limits where weir rents; owned nodes may run the job "
                     "too (placement: {local: never} forbids it)");
    }
    if (s->workdir != NULL) {
        spec_warn(
            s,
            "workdir: %.100s is used in place and is not copied; a rented machine does not have it",
            s->workdir);
    }
    return finish_file_mounts(rd, doc_get(root, "file_mounts"), "file_mounts");
}
