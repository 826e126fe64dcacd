// The worker module of poolifier. CommonJS: an ES module in a cluster loads too late to hear the first message.

const { ClusterWorker } = require('poolifier');

module.exports = new ClusterWorker(require('./work.cjs'));
