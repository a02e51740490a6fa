/** Names of the tensors of each file of an output, as they lie in it. */
export type Layout = readonly (readonly string[])[]

/**
 * An order of all tensors by which every file of every layout can be written from its beginning to its end: that of the first
 * layout, as far as the others allow. Undefined where files contradict one another.
 */
export function commonOrder(layouts: readonly Layout[]): string[] | undefined {
  const before = predecessors(layouts)
  const state = new Map<string, 'waiting' | 'placed'>()
  const order: string[] = []
  for (const wanted of before.keys()) {
    const path = [wanted]
    while (path.length > 0) {
      const name = path.at(-1) as string
      const first = [...(before.get(name) as Set<string>)].find((each) => state.get(each) !== 'placed')
      if (first !== undefined) {
        if (state.get(first) === 'waiting') return undefined
        state.set(name, 'waiting')
        path.push(first)
        continue
      }
      if (state.get(name) !== 'placed') order.push(name)
      state.set(name, 'placed')
      path.pop()
    }
  }
  return order
}

/** The tensors right before each one in its files; names in the order in which they come. */
function predecessors(layouts: readonly Layout[]): Map<string, Set<string>> {
  const before = new Map<string, Set<string>>()
  for (const names of layouts.flat()) {
    for (const [i, name] of names.entries()) {
      const known = before.get(name) ?? new Set()
      if (i > 0) known.add(names[i - 1] as string)
      before.set(name, known)
    }
  }
  return before
}

/** How many files are begun and not finished at one time when tensors are written in this order, at most. */
export function mostFilesAtOnce(layouts: readonly Layout[], order: readonly string[]): number {
  const place = new Map(order.map((name, i) => [name, i]))
  const changes = new Array<number>(order.length + 1).fill(0)
  const change = (at: number, by: number) => {
    changes[at] = (changes[at] as number) + by
  }
  for (const names of layouts.flat()) {
    if (names.length === 0) continue
    change(place.get(names[0] as string) as number, 1)
    change((place.get(names.at(-1) as string) as number) + 1, -1)
  }
  let [open, most] = [0, 0]
  for (const by of changes) {
    open += by
    most = Math.max(most, open)
  }
  return most
}
