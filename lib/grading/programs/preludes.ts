/** Modules whose names LiveCodeBench has in scope, as LeetCode has them. */
const modules =
  'string re datetime collections heapq bisect copy math random statistics itertools functools operator io sys json'.split(
    ' ',
  )

/** Names of later ones hide those of earlier ones, the builtins `pow` and `open` those of math and io: the order is LiveCodeBench's. */
const starred = [...modules, 'builtins', 'typing']

const prelude = (recursionLimit: number): string =>
  [
    ...starred.map((name) => `from ${name} import *`),
    ...modules.map((name) => `import ${name}`),
    `sys.setrecursionlimit(${recursionLimit})`,
    '',
  ].join('\n')

/** What LiveCodeBench puts before a program. */
export const liveCodeBenchPrelude = prelude(50_000)

/** What the older version of the paper's authors does. */
export const paperPrelude = prelude(600_000)
