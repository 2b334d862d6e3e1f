/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Compute Engine's GPU quotas: what regions and the project tell of them, as rows of the contract's quota. */

#include "cloud/rest.h"

/* Quotas of a region, an item of the list of regions. */
void gce_quota_region(const struct weir_provider *p, const struct json_t *region, struct weir_rest_quotas *l);
/* Those of the project, that count machines of all regions. */
void gce_quota_project(const struct json_t *project, struct weir_rest_quotas *l);
