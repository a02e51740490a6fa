interface OptionCommon {
  /** What it does: the beginning of a sentence in Markdown, from which schema, TSDoc and documentation are written. */
  meaning: string
  /** Further sentences, for the documentation alone. */
  more?: string
  required?: true
  /** Where the default depends on something: in words. */
  defaultText?: string
}

/** A number from `least` to `most`, both included but where `above` or `below` says otherwise. */
export interface NumberOption extends OptionCommon {
  type: 'number' | 'integer'
  least?: number
  most?: number
  /** Above 0, the least that is taken. */
  zeroOrFrom?: number
  /** `least` itself is refused. */
  above?: true
  /** `most` itself is refused. */
  below?: true
  /** null is a value, too. */
  orNull?: true
  default?: number | null
}

export interface BooleanOption extends OptionCommon {
  type: 'boolean'
  default?: boolean
}

export interface ChoiceOption extends OptionCommon {
  type: 'choice'
  choices: readonly (string | number)[]
  /** Spellings that are understood and that no list shows. */
  alsoKnown?: readonly string[]
  default?: string | number
}

/** A text that is not empty. */
export interface TextOption extends OptionCommon {
  type: 'text'
  /** What it is, for messages: 'a path'. Default: 'a text'. */
  expected?: string
  pattern?: string
  default?: string
}

/** A number of bytes, or a text as '5GB'. */
export interface SizeOption extends OptionCommon {
  type: 'size'
  least: number
  default?: string
}

export interface ListOption extends OptionCommon {
  type: 'list'
  items: TextOption
  /** What the list is, for messages. */
  expected: string
  least?: number
  most?: number
  default?: readonly string[]
}

/** An object with options of its own. */
export interface GroupOption extends OptionCommon {
  type: 'group'
  /** Its name in TypeScript. */
  interface: string
  /** Options that it has, too, and that have an interface of their own. */
  base?: GroupOption
  options: Options
  /** What it is, for messages. Default: 'an object'. */
  expected?: string
}

/** What none of the other forms can say. */
export interface OtherOption extends OptionCommon {
  type: 'other'
  typescript: string
  schema: object
  /** For the documentation. */
  expected?: string
}

/** One option, written once: schema, types and documentation are made of it (test/options.test.ts). */
export type Option =
  | NumberOption
  | BooleanOption
  | ChoiceOption
  | TextOption
  | SizeOption
  | ListOption
  | GroupOption
  | OtherOption

/** Options by name. */
export type Options = Readonly<Record<string, Option>>

/** Values of which those with a default are there. */
export type WithDefaults<T, O> = {
  [K in keyof T as K extends keyof O ? (O[K] extends { default: unknown } ? K : never) : never]-?: Exclude<
    T[K],
    undefined
  >
} & { [K in keyof T as K extends keyof O ? (O[K] extends { default: unknown } ? never : K) : K]: T[K] }

/** All options of a group. */
export const allOptions = ({ base, options }: GroupOption): Options => ({
  ...(base ? allOptions(base) : {}),
  ...options,
})

/** What is given, and the defaults of what is not. */
export function withDefaults<T extends object, O extends Readonly<Record<keyof T, Option>>>(
  options: O,
  given: T,
): WithDefaults<T, O> {
  const defaults = Object.entries<Option>(options).flatMap(([name, option]) =>
    'default' in option ? [[name, option.default] as const] : [],
  )
  const said = Object.entries(given).filter(([, value]) => value !== undefined)
  return Object.fromEntries([...defaults, ...said]) as WithDefaults<T, O>
}
