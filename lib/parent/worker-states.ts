// The states of a worker as its handle knows them, and what leads from one to the next. In capitals: what it is told; else what it says.
//
//  state      it is                                   SENTINEL  STOP      KILL      ready     sentinel-read  stopping     failed    end-of-results
//  starting   not ready                               draining  stopping  dying     ready     –              leaving      finished  –
//  ready      idle, or busy if it has jobs in flight  draining  stopping  dying     –         ready          leaving (1)  –         –
//  draining   told, behind its jobs: the sentinel     draining  stopping  dying     draining  summing        leaving (1)  finished  –
//  summing    a loop that has read it                 summing   stopping  dying     –         summing        leaving (1)  –         –
//  stopping   told to stop                            stopping  stopping  stopping  stopping  stopping       leaving      finished  –
//  dying      sent SIGTERM or SIGKILL, not `stop`     dying     stopping  dying     dying     dying          leaving      finished  –
//  leaving    cleaning up: it starts nothing more     leaving   leaving   leaving   –         –              –            –         finished
//  finished   at its end: it has said all             finished  finished  finished  –         –              –            –         –
//
// In capitals: what it is told; the other columns: what it says, where a dash is a ProtocolError. What is not in the table (results, `reclaimed`,
// `exiting`, pieces of large values) it may say in any state. Any state leads to `gone`, when its exit was seen and its channel was read to the end.
// (1) From ready always "early": another worker takes its place. From draining and summing if it still has jobs. Never while it is stuck in a job that
// was cancelled.

export type State = 'starting' | 'ready' | 'draining' | 'summing' | 'stopping' | 'dying' | 'leaving' | 'finished' | 'gone';
export type Event = 'SENTINEL' | 'STOP' | 'KILL' | 'ready' | 'sentinel-read' | 'stopping' | 'failed' | 'end-of-results';

/** The table above. */
export const NEXT: Record<State, Partial<Record<Event, State>>> = {
  starting: { SENTINEL: 'draining', STOP: 'stopping', KILL: 'dying', ready: 'ready', stopping: 'leaving', failed: 'finished' },
  ready: { SENTINEL: 'draining', STOP: 'stopping', KILL: 'dying', 'sentinel-read': 'ready', stopping: 'leaving' },
  draining: { SENTINEL: 'draining', STOP: 'stopping', KILL: 'dying', ready: 'draining', 'sentinel-read': 'summing', stopping: 'leaving', failed: 'finished' },
  summing: { SENTINEL: 'summing', STOP: 'stopping', KILL: 'dying', 'sentinel-read': 'summing', stopping: 'leaving' },
  stopping: { SENTINEL: 'stopping', STOP: 'stopping', KILL: 'stopping', ready: 'stopping', 'sentinel-read': 'stopping', stopping: 'leaving', failed: 'finished' },
  dying: { SENTINEL: 'dying', STOP: 'stopping', KILL: 'dying', ready: 'dying', 'sentinel-read': 'dying', stopping: 'leaving', failed: 'finished' },
  leaving: { SENTINEL: 'leaving', STOP: 'leaving', KILL: 'leaving', 'end-of-results': 'finished' },
  finished: { SENTINEL: 'finished', STOP: 'finished', KILL: 'finished' },
  gone: {},
};

/** Whether a message of this type is a column of the table. */
export const isStep = (type: string): type is Exclude<Event, 'SENTINEL' | 'STOP' | 'KILL'> => COLUMNS.has(type);
const COLUMNS: ReadonlySet<string> = new Set(Object.values(NEXT).flatMap(steps => Object.keys(steps)));

/** Why another one should take its place. */
export type Reason = 'crashed' | 'left early' | 'job limit' | 'memory' | 'stuck' | 'protocol';

/** From here on it starts no job that it is sent: it hands it back, or is gone. */
export const MAY_NOT_START: ReadonlySet<State> = new Set(['stopping', 'dying', 'leaving', 'finished', 'gone']);
