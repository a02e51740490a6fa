import { found, type Value } from './values.js'

/** What one rendering has in common. */
export interface Rendering {
  variables: ReadonlyMap<string, Value>
  /** Written before and behind what stands between `{% generation %}` and its end. */
  marks: readonly [begin: string, end: string]
}

/** Names of a loop's round, a macro's call or the template as a whole; names that are not set here are looked for around it. */
export class Scope {
  private readonly names = new Map<string, Value>()

  constructor(
    readonly rendering: Rendering,
    private readonly parent?: Scope,
  ) {}

  inner(): Scope {
    return new Scope(this.rendering, this)
  }

  set(name: string, value: Value): void {
    this.names.set(name, value)
  }

  get(name: string): Value {
    for (let scope: Scope | undefined = this; scope; scope = scope.parent) {
      const value = scope.names.get(name)
      if (value !== undefined) return value
    }
    return found(this.rendering.variables.get(name), `'${name}' is undefined`)
  }
}
