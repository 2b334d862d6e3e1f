/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Sample rows and small collectors for the tests of the store. */

#include "store/store.h"

struct weir_project_row sample_project(uint32_t id, const char *name);
struct weir_name_row sample_name(uint32_t id, const char *name);
struct weir_job_row sample_job(uint64_t id);
struct weir_task_row sample_task(uint64_t job, uint32_t ordinal);
struct weir_node_row sample_node(uint64_t id);
struct weir_lease_row sample_lease(uint64_t id);
struct weir_hold_view sample_hold(uint64_t id);
struct weir_meter sample_meter(uint64_t node);
/* from the node to the job's account, one micro-unit per microsecond */
struct weir_posting sample_posting(uint64_t id, uint64_t job, int64_t from_us, int64_t to_us);
struct weir_event_row sample_event(uint64_t id, uint64_t job);

/* A directory of its own under the test's temporary directory; removed with all files by scratch_free. */
struct scratch {
    char dir[256];
    char db[300];
};
void scratch_make(struct scratch *s);
void scratch_free(struct scratch *s);
