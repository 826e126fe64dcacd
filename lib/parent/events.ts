// What happens in a pool, for whoever listens on Node's diagnostics channels; nothing is made for those on which nobody does.
//
// | channel                      | when                                        | payload, besides `pool`                           |
// |------------------------------|---------------------------------------------|---------------------------------------------------|
// | `drainpool:job:given`        | a job is sent to a worker                   | `id`, `attempt`, `pid`                            |
// | `drainpool:job:settled`      | it has its result                           | `id`, `status`, `pid` (null if no worker had it)  |
// | `drainpool:worker:started`   | a process was started                       | `pid`, `isReplacement`                            |
// | `drainpool:worker:ready`     | it may be sent jobs                        | `pid`                                             |
// | `drainpool:worker:left`      | it is gone                                  | `pid`, `exitCode`, `signal`, `jobs`, `error`      |
// | `drainpool:pool:interrupted` | Ctrl-C, a signal, an abort, `interrupt()`   | `signal` (null for the last two)                  |
// | `drainpool:pool:terminating` | each of the three steps, for each worker    | `step` ('stop', 'SIGTERM', 'SIGKILL'), `pid`      |
// | `drainpool:pool:gone`        | every worker is gone                        | `report`                                          |

import { channel } from 'node:diagnostics_channel';

export const events = {
  jobDispatched: channel('drainpool:job:given'),
  jobSettled: channel('drainpool:job:settled'),
  workerStarted: channel('drainpool:worker:started'),
  workerReady: channel('drainpool:worker:ready'),
  workerLeft: channel('drainpool:worker:left'),
  interrupted: channel('drainpool:pool:interrupted'),
  terminating: channel('drainpool:pool:terminating'),
  gone: channel('drainpool:pool:gone'),
};
