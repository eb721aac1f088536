/** Of table `aggregate` as `a`: windows that make up minutes, because their length divides one, and do not overlap. */
export const makesMinutes = `60000000 % a.size_us = 0 and (extract(epoch from a.start) * 1000000)::int8 % a.size_us = 0`
