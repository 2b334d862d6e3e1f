/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Compute Engine's GPU quotas: what regions and the project tell of them, as rows of the contract's quota. */

#include "cloud/rest.h"

/* The quota of GPU families, as a person finds it, and its id at the Cloud Quotas API. */
#define GCE_FAMILY_METRIC "GPUS_PER_GPU_FAMILY"
#define GCE_FAMILY_QUOTA "GPUS-PER-GPU-FAMILY-per-project-region"

/* Quotas of a region, an item of the list of regions. */
void gce_quota_region(const struct weir_provider *p, const struct json_t *region, struct weir_rest_quotas *l);
/* Those of the project, that count machines of all regions. */
void gce_quota_project(const struct json_t *project, struct weir_rest_quotas *l);
/*
 * Those of families of GPUs, of the Cloud Quotas API: nothing of them is in use yet. Comes after the regions'. True: some machine may be made, so
 * those that there are count.
 */
bool gce_quota_families(const struct weir_provider *p, const struct json_t *info, struct weir_rest_quotas *l);
/* One of the project's machines, whoever's, takes of them what it has. */
void gce_quota_machine(const struct json_t *instance, struct weir_rest_quotas *l);
