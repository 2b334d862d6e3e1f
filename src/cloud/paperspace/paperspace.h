/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Paperspace: virtual machines by its API v1. A machine has no idempotency key, no user data and no tags of ours: it is ours by its
 * name, and boots by a startup script of the same name, which is made before it and removed when no machine needs it any more.
 */

#include "cloud/provider.h"

extern const struct weir_provider_ops weir_paperspace_provider;
