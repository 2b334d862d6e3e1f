/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Google Compute Engine, by its API v1. A launch carries a requestId and a name that both follow from the token, so that Google
 * itself makes one machine of it; what came of it stands in an operation, which is followed to its end. Machines carry the labels
 * weir-owner and weir-lease, and a longest run after which Google itself deletes them.
 */

#include "cloud/provider.h"

extern const struct weir_provider_ops weir_gce_provider;
