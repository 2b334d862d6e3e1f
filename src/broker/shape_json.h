/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A request as JSON text, for the store's shape table: every field by name, GPU models by name, so that a
 * database made by one build is read by another.
 */

#include "base/err.h"
#include "base/str.h"
#include "core/model.h"

void weir_shape_to_json(const struct weir_request *r, const struct weir_gpu_table *gpus, struct weir_str *out);
/* Errors: -WEIR_ECORRUPT. */
int weir_shape_from_json(const char *json, struct weir_gpu_table *gpus, struct weir_request *ret, struct weir_err *err);
