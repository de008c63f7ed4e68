// tenon/tenon.h: all of Tenon for a user of the library. Plugins include <tenon/sdk.h> instead.
#ifndef TENON_TENON_H
#define TENON_TENON_H

#include <tenon/base.h>
#include <tenon/env.h>
#include <tenon/exec.h>
#include <tenon/graph.h>
#include <tenon/ops.h>
#include <tenon/tensor.h>

#endif
