import type { BbhAnswerType } from '../../grading/bbhAnswer.js'

/** What the examples of the 27 tasks have to be answered with. The task's instruction stands above each of them. */
export const bbhTasks: ReadonlyMap<string, { type: BbhAnswerType; description: string }> = new Map(
  Object.entries({
    boolean_expressions: { type: 'true-false', description: 'Evaluate the result of a random Boolean expression.' },
    causal_judgement: { type: 'yes-no', description: 'Answer questions about causal attribution.' },
    date_understanding: { type: 'letter', description: 'Infer the date from context.' },
    disambiguation_qa: { type: 'letter', description: 'Clarify the meaning of sentences with ambiguous pronouns.' },
    dyck_languages: { type: 'brackets', description: 'Correctly close a Dyck-n word.' },
    formal_fallacies: {
      type: 'validity',
      description: 'Distinguish deductively valid arguments from formal fallacies.',
    },
    geometric_shapes: { type: 'letter', description: 'Name geometric shapes from their SVG paths.' },
    hyperbaton: { type: 'letter', description: 'Order adjectives correctly in English sentences.' },
    logical_deduction_five_objects: { type: 'letter', description: deduction() },
    logical_deduction_seven_objects: { type: 'letter', description: deduction() },
    logical_deduction_three_objects: { type: 'letter', description: deduction() },
    movie_recommendation: { type: 'letter', description: 'Recommend movies similar to the given list of movies.' },
    multistep_arithmetic_two: { type: 'integer', description: 'Solve multi-step arithmetic problems.' },
    navigate: {
      type: 'yes-no',
      description:
        'Given a series of navigation instructions, determine whether one would end up back at the starting point.',
    },
    object_counting: {
      type: 'integer',
      description: 'Questions that involve enumerating objects and asking the model to count them.',
    },
    penguins_in_a_table: {
      type: 'letter',
      description: 'Answer questions about a table of penguins and their attributes.',
    },
    reasoning_about_colored_objects: {
      type: 'letter',
      description: 'Answer extremely simple questions about the colors of objects on a surface.',
    },
    ruin_names: {
      type: 'letter',
      description: "Select the humorous edit that 'ruins' the input movie or musical artist name.",
    },
    salient_translation_error_detection: {
      type: 'letter',
      description: 'Detect the type of error in an English translation of a German source sentence.',
    },
    snarks: {
      type: 'letter',
      description:
        'Determine which of two sentences is sarcastic.\n\nAccording to Cambridge University Dictionary, sarcasm is "the use ' +
        "of remarks that clearly mean the opposite of what they say, made in order to hurt someone's feelings or to criticize " +
        'something in a humorous way." Sarcastic sentences often contain satirical or ironic utterances, hyperboles, ' +
        'ambivalent or witty remarks.',
    },
    sports_understanding: {
      type: 'yes-no',
      description: 'Determine whether an artificially constructed sentence relating to sports is plausible or not.',
    },
    temporal_sequences: {
      type: 'letter',
      // The published file alone begins its description so.
      description: 'Task description: Answer questions about which times certain events could have occurred.',
    },
    tracking_shuffled_objects_five_objects: { type: 'letter', description: tracking() },
    tracking_shuffled_objects_seven_objects: { type: 'letter', description: tracking() },
    tracking_shuffled_objects_three_objects: { type: 'letter', description: tracking() },
    web_of_lies: {
      type: 'yes-no',
      description: 'Evaluate a random boolean function expressed as a word problem.',
    },
    word_sorting: { type: 'words', description: 'Sort a list of words.' },
  } satisfies Record<string, { type: BbhAnswerType; description: string }>),
)

function deduction(): string {
  return 'A logical deduction task which requires deducing the order of a sequence of objects.'
}

function tracking(): string {
  return 'A task requiring determining the final positions of a set of objects given their initial positions and a description of a sequence of swaps.'
}
