/* Threads that help with one problem. They belong to the caller, who lets each of them run core_help; here are no
   threads, only numbers that they and the leader look at. Work is cut in numbered groups, whoever does them, so that
   sums don't depend on how many there are. */

#ifndef HW4OPT_TEAM_H
#define HW4OPT_TEAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef void (*group_act)(void *data, size_t group);

typedef struct {
    _Atomic uint64_t ticket; /* high half: which piece of work; low half: groups that nobody has taken */
    _Atomic uint64_t done;   /* groups that are done */
    _Atomic int closed;      /* no more work will come */
    group_act act;
    void *data;
} core_team;

/* Do act(data, 0 … groups - 1) with whoever helps; with NULL, alone. */
void team_run(core_team *team, group_act act, void *data, size_t groups);

#endif
