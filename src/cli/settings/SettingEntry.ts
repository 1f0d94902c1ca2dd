/** What a file of settings holds: keys, each with a value. */

/** A key, with the names of the sections or mappings around it and dots; and its value. */
export type Entry = readonly [key: string, value: unknown]

/** Whether the keys of a section stand as if they were outside of any. */
export const isDefaultSection = (name: string): boolean => /^default$/i.test(name)

/** A key to be shown; one of another kind may be a value in the wrong place, and a secret. */
export const showKey = (key: string): string => (/^[\w.-]{1,64}$/.test(key) ? key : "a key")

/**
 * Whether a key is the project's own: then a value that is missing is a mistake. A key of the
 * course's may be another program's, and counts as not set if it is empty.
 */
export const isOwn = (key: string): boolean => /^lottery_/i.test(key)
