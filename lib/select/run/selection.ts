import type { Condition } from '../condition.js'
import type { ContaminationOptions } from '../contamination/contamination.js'
import type { DuplicatesOptions } from '../duplicates/duplicates.js'
import type { QualityOptions } from '../quality/qualityOptions.js'
import type { ChooseOptions } from '../steps/choose.js'
import type { FormOptions } from '../steps/form.js'
import type { SizeOptions } from '../steps/size.js'
import type { VerifyOptions } from '../verification/verify.js'

/** Which rows become training data: recipes/selection.schema.json in types; docs/select.md explains each. */
export interface Selection {
  /** Where rows come from, in the order of the result. */
  sources: SelectionSource[]
  /** What is done with the rows, in this order. */
  steps?: SelectionStep[]
  /** Columns that the result has as well: names, or the columns by their names in the result. */
  keep?: string[] | Record<string, string>
  /** Directory of the student's tokenizer, for steps that count tokens. */
  tokenizer?: string
  /** Of all random choices, 0 to 2^53 − 1. Default: 0. */
  seed?: number
}

/** Files of rows of one form, and what is what in them. */
export interface SelectionSource {
  /** Parquet, JSON Lines and JSON files (the last two also with .gz), directories of such, or names with `*`. */
  path: string | string[]
  /** Default: the name of the first path. */
  name?: string
  /** Further parts of the data set by name. Their columns are `NAME.COLUMN`. */
  join?: Record<string, SelectionPart>
  map: SelectionMap
}

/** Files whose rows belong to those of a source. */
export interface SelectionPart {
  path: string | string[]
  /** The column whose values tell which rows belong together: one name, or one for the source and one for the part. */
  on: string | { source: string; part: string }
  /** A regular expression; what it matches is left out of both keys before they are compared. */
  without?: string
}

/** Names of columns, with dots for what lies inside of one. Either `messages`, or `question` and `answers`. */
export interface SelectionMap {
  question?: string
  /** A text, or a list of several generations. */
  answers?: string
  /** Reasoning that stands apart from the answers: a text, or a list like them. */
  reasoning?: string
  /** One exchange as a list of messages, with role and content or from and value. */
  messages?: string
  system?: string
  /** The reference answer. */
  reference?: string
  /** The options of a multiple-choice question: a list of texts. */
  choices?: string
  /** Tests of a program. */
  tests?: string
  /** Why each answer ended: a text, or a list. */
  finish?: string
  /** What is known of each answer: columns, or columns by name. */
  labels?: string[] | Record<string, string>
}

/** One kind of step, with its options. */
export interface SelectionStep {
  /** As the funnel calls it. Default: the kind. */
  name?: string
  /** Only rows whose columns are so. */
  where?: Condition
  choose?: ChooseOptions
  form?: FormOptions
  size?: number | SizeOptions
  quality?: QualityOptions
  verify?: VerifyOptions
  duplicates?: DuplicatesOptions
  contamination?: ContaminationOptions
}
