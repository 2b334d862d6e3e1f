/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Vast.ai: a market of hosts that rent containers with GPUs, on demand or, interruptible, by a bid. Every host's offer (an "ask") is an offer of
 * weir's, whose zone names it. A container is ours by its label. One that is stopped still bills its disk: it is destroyed.
 */

#include "cloud/provider.h"

extern const struct weir_provider_ops weir_vast_provider;
