// The worker of the bare channel: an array of jobs in, an array of values out.

import work from './work.cjs';

process.on('message', jobs => {
  for (let i = 0; i < jobs.length; i++) jobs[i] = work(jobs[i]);
  process.send(jobs);
});
process.on('disconnect', () => process.exit());
