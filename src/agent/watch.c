/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_priv.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/log.h"
#include "base/parse.h"

enum { LOOK_EVERY_MS = 250, CHECKPOINT_ENTRIES_MAX = 256 };

#define CHECKPOINT_TELL_US (10 * WEIR_US_PER_S)
/* A counter read later than this after the end has other work in it. */
#define ENERGY_LATE_US (2 * WEIR_US_PER_S)

/* ---- checkpoints ---- */

static int64_t mtime_us(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * WEIR_US_PER_S + st->st_mtim.tv_nsec / 1000;
}

struct weir_wall agent_checkpoint_time(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        return (struct weir_wall){0};
    }
    int64_t newest = mtime_us(&st);
    DIR *d = S_ISDIR(st.st_mode) ? opendir(path) : NULL;
    const struct dirent *e;
    for (unsigned i = 0; d != NULL && i < CHECKPOINT_ENTRIES_MAX && (e = readdir(d)) != NULL; i++) {
        char name[WEIR_PATH_SIZE];
        if (!weir_streq(e->d_name, "..") && weir_path_join(name, path, e->d_name) && stat(name, &st) == 0 &&
            mtime_us(&st) > newest) {
            newest = mtime_us(&st);
        }
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    return (struct weir_wall){newest};
}

void agent_checkpoint_look(struct agent *a, struct live_run *r, bool last)
{
    struct weir_mono now = weir_clock_mono(a->clock);
    bool soon = r->checkpoint_told.us != 0 && now.us - r->checkpoint_told.us < CHECKPOINT_TELL_US;
    if (r->start.checkpoint[0] == '\0' || (soon && !last)) {
        return;
    }
    struct weir_wall at = agent_checkpoint_time(r->start.checkpoint);
    if (at.us <= r->checkpoint_seen.us) {
        return;
    }
    r->checkpoint_seen = at;
    r->checkpoint_told = now;
    const struct weir_agent_event e = {.type = WEIR_AGENT_EV_CHECKPOINTED, .run = r->id, .at = at};
    agent_feed(a, &e);
}

/* ---- the provider's notice ---- */

static void look_for_notice(struct agent *a)
{
    char text[4096];
    if (a->conf->notice_path == NULL || a->notice_seen) {
        return;
    }
    long n = weir_slurp(a->conf->notice_path, text, sizeof text);
    if (n <= 0) {
        return;
    }
    json_t *v = json_loadb(text, (size_t)n, 0, NULL);
    const json_t *at = json_object_get(v, "reclaim_at");
    if (json_is_integer(at) && json_integer_value(at) > 0) {
        a->notice_seen = true;
        weir_log(WEIR_LOG_NOTICE, "agent.reclaim", "at=%lld", (long long)json_integer_value(at));
        const struct weir_agent_event e = {.type = WEIR_AGENT_EV_NOTICE, .deadline = {json_integer_value(at)}};
        agent_feed(a, &e);
    }
    json_decref(v); /* a file that is not whole yet is read again */
}

/* ---- energy ---- */

static uint64_t cpu_busy_ticks(void)
{
    char text[8192];
    long n = weir_slurp("/proc/stat", text, sizeof text);
    struct weir_sv rest = {text, n > 0 ? (size_t)n : n == -WEIR_ELIMIT ? sizeof text - 1 : 0};
    struct weir_sv line = weir_sv_cut(&rest, '\n');
    uint64_t busy = 0;
    (void)weir_sv_cut(&line, ' ');
    /* user nice system idle iowait irq softirq steal */
    for (unsigned i = 0; line.p != NULL && i < 7;) {
        struct weir_sv word = weir_sv_cut(&line, ' ');
        uint64_t v = 0;
        if (word.n == 0) {
            continue;
        }
        if (weir_parse_u64(word, 0, UINT64_MAX, &v, NULL) == 0 && i != 3 && i != 4) {
            busy += v;
        }
        i++;
    }
    return busy;
}

static bool is_used(const struct agent *a, uint32_t gpu)
{
    for (size_t i = 0; i < a->live.n; i++) {
        const struct weir_record_start *s = &a->live.p[i]->start;
        for (size_t k = 0; k < s->n_gpus; k++) {
            if (s->gpu[k] == gpu) {
                return true;
            }
        }
    }
    return false;
}

static bool sample_gpu(struct agent *a, size_t i, uint64_t dt_us)
{
    const struct weir_device *d = &a->hardware.gpu[i];
    uint64_t mj = 0;
    if (weir_device_energy_mj(&a->hardware, d, &mj)) {
        if (a->gpu_counter[i] != 0 && mj >= a->gpu_counter[i]) {
            a->gpu_mj[i] += mj - a->gpu_counter[i];
        }
        a->gpu_counter[i] = mj;
        return true;
    }
    a->gpu_mj[i] += dt_us / 1000 * (is_used(a, (uint32_t)i) ? d->watts : d->idle_watts);
    return false;
}

static bool sample_cpu(struct agent *a, uint64_t dt_us, uint64_t *ret_mj)
{
    uint64_t mj = 0, wrap = 0;
    if (weir_hardware_rapl_mj(&a->hardware, &mj, &wrap)) {
        uint64_t before = a->rapl_counter;
        a->rapl_counter = mj;
        *ret_mj = before == 0 ? 0 : mj >= before ? mj - before : mj + wrap - before;
        return true;
    }
    uint64_t busy = cpu_busy_ticks();
    uint64_t ticks = a->cpu_busy_ticks != 0 && busy > a->cpu_busy_ticks ? busy - a->cpu_busy_ticks : 0;
    a->cpu_busy_ticks = busy;
    uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
    *ret_mj = ticks * WEIR_CPU_BUSY_MW / (hz == 0 ? 100 : hz) +
              dt_us / 1000 * WEIR_CPU_IDLE_MW / 1000 * (a->hardware.cpu_milli / 1000);
    return false;
}

void agent_energy_sample(struct agent *a)
{
    struct weir_mono now = weir_clock_mono(a->clock);
    struct weir_agent_energy sample = {.at = weir_clock_wall(a->clock), .n_gpus = a->hardware.n_gpus};
    uint64_t dt = a->energy_at.us == 0 ? 0 : (uint64_t)(now.us - a->energy_at.us);
    uint64_t cpu_mj = 0;
    bool measured = sample_cpu(a, dt, &cpu_mj);
    bool first = a->energy_at.us == 0;
    a->energy_at = now;
    for (size_t i = 0; i < a->hardware.n_gpus; i++) {
        uint64_t before = a->gpu_mj[i];
        measured = sample_gpu(a, i, dt) && measured;
        cpu_mj += a->gpu_mj[i] - before;
        sample.gpu_mj[i] = a->gpu_mj[i];
    }
    a->node_mj += cpu_mj;
    sample.node_mj = a->node_mj;
    sample.modelled = !measured;
    if (!first && a->state.phase == WEIR_AGENT_TOGETHER) {
        const struct weir_agent_event e = {.type = WEIR_AGENT_EV_ENERGY, .energy = &sample};
        agent_feed(a, &e);
    }
}

void agent_run_energy(struct agent *a, const struct weir_record_start *start, struct weir_agent_end *end)
{
    uint64_t sum = 0;
    if (start->n_gpus == 0 || weir_wall_sub(weir_clock_wall(a->clock), end->ended).us > ENERGY_LATE_US) {
        return; /* the supervisor's model stands */
    }
    for (size_t i = 0; i < start->n_gpus; i++) {
        uint64_t now = 0;
        if (start->gpu[i] >= a->hardware.n_gpus || start->gpu_mj[i] == 0 ||
            !weir_device_energy_mj(&a->hardware, &a->hardware.gpu[start->gpu[i]], &now) || now < start->gpu_mj[i]) {
            return;
        }
        sum += now - start->gpu_mj[i];
    }
    /* The processor's share is small beside the GPUs', and modelled: it is left out, so that what is
     * said to be measured is. */
    end->energy_mj = sum;
    end->energy_modelled = false;
}

/* ---- timers ---- */

static void on_energy(uv_timer_t *t)
{
    struct agent *a = t->data;
    agent_energy_sample(a);
    agent_groups_sweep(a);
    if (agent_certificate_is_due(a) && a->state.session[0] != '\0') {
        agent_call_renew(a);
    }
    uint64_t every_ms = (uint64_t)(a->state.report_every.us / WEIR_US_PER_MS);
    every_ms = every_ms < 1000 ? 1000 : every_ms;
    (void)uv_timer_start(t, on_energy, every_ms, 0);
}

static void on_look(uv_timer_t *t)
{
    struct agent *a = t->data;
    bool more = agent_runs_resolve(a);
    look_for_notice(a);
    more = more || (a->conf->notice_path != NULL && !a->notice_seen);
    for (size_t i = 0; i < a->live.n; i++) {
        if (a->live.p[i]->start.checkpoint[0] != '\0') {
            agent_checkpoint_look(a, a->live.p[i], false);
            more = true;
        }
    }
    if (!more) {
        a->looking = false;
        (void)uv_timer_stop(t);
    }
}

void agent_watch_more(struct agent *a)
{
    if (!a->looking && !a->exiting) {
        a->looking = true;
        (void)uv_timer_start(&a->look, on_look, LOOK_EVERY_MS, LOOK_EVERY_MS);
    }
}

void agent_watch_begin(struct agent *a)
{
    agent_energy_sample(a);
    (void)uv_timer_start(&a->energy, on_energy, 10000, 0);
    if (a->conf->notice_path != NULL || a->live.n > 0) {
        agent_watch_more(a);
    }
}
