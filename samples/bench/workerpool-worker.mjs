// The worker module of workerpool.

import workerpool from 'workerpool';
import work from './work.cjs';

workerpool.worker({ work });
