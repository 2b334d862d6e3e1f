/* SPDX-License-Identifier: Apache-2.0 */
#include "rows.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"

#define T0 INT64_C(1767225600000000) /* 2026-01-01 */

struct weir_project_row sample_project(uint32_t id, const char *name)
{
    return (struct weir_project_row){.view = {.id = {id},
                                              .weight = 100 + id,
                                              .delay_cost_micro_per_hour = 100000,
                                              .spent_decayed_micro = 5,
                                              .spent_at = {T0}},
                                     .name = name};
}

struct weir_name_row sample_name(uint32_t id, const char *name)
{
    return (struct weir_name_row){.id = id, .name = name, .detail_json = "{\"a\":1}"};
}

struct weir_job_row sample_job(uint64_t id)
{
    struct weir_job_row r = {.view = {.id = {id},
                                      .project = {1},
                                      .user = {1},
                                      .shape = 3,
                                      .priority = -7,
                                      .n_tasks = 4,
                                      .parallel_max = 2,
                                      .state = WEIR_JOB_WAITING,
                                      .submitted = {T0 + (int64_t)id},
                                      .deadline = {T0 + 1000000}},
                             .name = "train",
                             .tags_json = "{\"team\":\"perception\"}",
                             .spec_json = "{\"run\":\"true\"}"};
    for (uint32_t i = 0; i < WEIR_TASK_STATE_MAX; i++) {
        r.view.count[i] = i + 1;
    }
    return r;
}

struct weir_task_row sample_task(uint64_t job, uint32_t ordinal)
{
    return (struct weir_task_row){.view = {.id = {{job}, ordinal},
                                           .state = WEIR_TASK_RUNNING,
                                           .reason = WEIR_REASON_RECLAIM,
                                           .attempt = 2,
                                           .failures = 1,
                                           .losses = 1,
                                           .node = {1},
                                           .gpu_mask = 0xf0000001,
                                           .n_nodes = 1,
                                           .lease = {9},
                                           .queued = {T0 + 1},
                                           .placed = {T0 + 2},
                                           .started = {T0 + 3},
                                           .first_started = {T0 + 4},
                                           .ended = {T0 + 5},
                                           .checkpointed = {T0 + 6},
                                           .hold = {8},
                                           .exit_code = -1,
                                           .signal = 9,
                                           .ranks_started = 1,
                                           .ranks_ended = 0},
                                  .text = "said so"};
}

struct weir_node_row sample_node(uint64_t id)
{
    struct weir_node_row r = {.view = {.spec = {.id = {id},
                                                .pool = {1},
                                                .lease = {id == 1 ? 0 : id},
                                                .gpu_model = 17,
                                                .gpus = 4,
                                                .gpu_mem_mib = 40960,
                                                .cpu_milli = 64000,
                                                .mem_mib = 512000,
                                                .link_group = {1, 1, 2, 2},
                                                .fabric = 7,
                                                .region = "eu-west-1",
                                                .provider = "sandbox",
                                                .rates = {3000000, 0, 250000}},
                                       .state = WEIR_NODE_DRAINING,
                                       .joined = true,
                                       .since = {T0},
                                       .idle_since = {T0 + 1},
                                       .gpu_free_mask = 0xc,
                                       .cpu_free_milli = 1000,
                                       .mem_free_mib = 1024,
                                       .n_runs = 2},
                              .gpu_model = "A100",
                              .agent_id = "agent-1",
                              .name = id == 1 ? "gpu-a" : "gpu-b",
                              .address = "10.0.0.1",
                              .detail_json = "{}",
                              .seen = {T0 + 9}};
    return r;
}

struct weir_lease_row sample_lease(uint64_t id)
{
    struct weir_lease_row r = {.view = {.id = {id},
                                        .node = {2},
                                        .state = WEIR_LEASE_READY,
                                        .offer = {.id = UINT64_C(0xfedcba9876543210),
                                                  .provider = "sandbox",
                                                  .region = "eu-1",
                                                  .zone = "a",
                                                  .instance_type = "a100x4",
                                                  .market = WEIR_OFFER_SPOT,
                                                  .gpu_model = 17,
                                                  .gpus = 4,
                                                  .gpu_mem_mib = 40960,
                                                  .cpu_milli = 48000,
                                                  .mem_mib = 4096,
                                                  .price_micro_per_hour = 12345678,
                                                  .as_of = {T0},
                                                  .expires = WEIR_WALL_MAX,
                                                  .source = "list",
                                                  .bill_quantum = {1000000},
                                                  .bill_minimum = {60000000},
                                                  .boot_expected = {90000000},
                                                  .reclaim_ppm_per_hour = 50000,
                                                  .reclaim_notice = {120000000},
                                                  .egress_micro_per_gib = 90000,
                                                  .ends = {T0 + 9},
                                                  .plan = UINT64_C(0xfedcba9876543211),
                                                  .launchable = true},
                                        .price_micro_per_hour = 23456789,
                                        .priced = {T0 + 8},
                                        .priced_micro = 777,
                                        .task = {{1}, 2},
                                        .intent_at = {T0 + 1},
                                        .confirmed_at = {T0 + 2},
                                        .ready_at = {T0 + 3},
                                        .reclaim_at = {T0 + 4},
                                        .ending_at = {T0 + 5},
                                        .ended_at = {T0 + 6},
                                        .expires = {T0 + 7},
                                        .refusal = 3,
                                        .reclaimed = true},
                               .gpu_model = "A100",
                               .token = "weir-token",
                               .instance = "i-123",
                               .reservation = "cr-0123",
                               .text = "no reason"};
    return r;
}

struct weir_hold_view sample_hold(uint64_t id)
{
    return (struct weir_hold_view){.id = {id},
                                   .task = {{1}, 2},
                                   .attempt = 3,
                                   .project = {1},
                                   .amount_micro = 4000000,
                                   .state = WEIR_HOLD_ACTIVE};
}

struct weir_meter sample_meter(uint64_t node)
{
    return (struct weir_meter){.info = {.node = {node},
                                        .pool = {1},
                                        .gpus = 4,
                                        .cpu_milli = 64000,
                                        .owned = true,
                                        .cost = {.purchase_micro = 100,
                                                 .residual_micro = 10,
                                                 .life = {1000},
                                                 .upkeep_micro_per_year = 7,
                                                 .tariff_micro_per_kwh = 8,
                                                 .pue_milli = 1200,
                                                 .idle_watts = 100,
                                                 .busy_watts = 300,
                                                 .has_carbon = true,
                                                 .carbon_ug_per_kwh = 15},
                                        .price_micro_per_hour = 9,
                                        .quantum = {10},
                                        .minimum = {11},
                                        .project = {1},
                                        .user = {2},
                                        .task = {{3}, 4}},
                               .opened = {T0},
                               .ready = {T0 + 1},
                               .until = {T0 + 2},
                               .provider_posted_micro = 12,
                               .priced = {T0 + 21},
                               .priced_micro = 22,
                               .remainder = {1, 2, 3, INT64_MAX, 999, 5},
                               .energy_mj = 13,
                               .energy_counter_mj = WEIR_METER_COUNTER_UNKNOWN,
                               .energy_posted_mj = 14,
                               .energy_measured = true};
}

struct weir_posting sample_posting(uint64_t id, uint64_t job, int64_t from_us, int64_t to_us)
{
    return (struct weir_posting){.id = id,
                                 .at = {to_us},
                                 .from = {from_us},
                                 .to = {to_us},
                                 .node = {1},
                                 .pool = {1},
                                 .debit = WEIR_ACCOUNT_JOB,
                                 .credit = WEIR_ACCOUNT_NODE,
                                 .amount_micro = to_us - from_us,
                                 .gpu_us = 2 * (uint64_t)(to_us - from_us),
                                 .energy_mj = 3 * (to_us - from_us),
                                 .carbon_ug = id % 3 == 0 ? 0 : to_us - from_us,
                                 .carbon_unknown = id % 3 == 0,
                                 .project = {1},
                                 .user = {1},
                                 .run = {{{job}, 0}, 1}};
}

struct weir_event_row sample_event(uint64_t id, uint64_t job)
{
    return (struct weir_event_row){.id = id,
                                   .at = {T0 + (int64_t)id},
                                   .kind = "job.submitted",
                                   .job = {job},
                                   .ordinal = (uint32_t)WEIR_ORDINAL_ALL,
                                   .node = {5},
                                   .lease = {6},
                                   .text = "submitted"};
}

void scratch_make(struct scratch *s)
{
    const char *tmp = "/tmp";
    (void)snprintf(s->dir, sizeof s->dir, "%s/weir-store-XXXXXX", tmp);
    WEIR_ASSERT(mkdtemp(s->dir) != NULL);
    (void)snprintf(s->db, sizeof s->db, "%s/weir.db", s->dir);
}

void scratch_free(struct scratch *s)
{
    DIR *d = opendir(s->dir);
    if (d == NULL) {
        return;
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (e->d_name[0] != '.') {
            (void)unlinkat(dirfd(d), e->d_name, 0);
        }
    }
    (void)closedir(d);
    (void)rmdir(s->dir);
}
