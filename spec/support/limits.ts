// The longest that a test may take: a guard against hangs on a loaded machine, and no measurement.

export const limited = { timeout: 180_000 };
/** For one that does much. */
export const longer = { timeout: 240_000 };
