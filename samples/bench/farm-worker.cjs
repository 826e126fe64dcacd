// The worker module of worker-farm.

const work = require('./work.cjs');

module.exports = (job, callback) => callback(null, work(job));
