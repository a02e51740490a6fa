import { expect, test } from 'vitest'
import { detectLanguage, knownLanguages } from '../../lib/grading/instructions/language.js'

/** Article 1 of the Universal Declaration of Human Rights, its first sentence: the languages that IFEval asks for. */
const samples: Record<string, string> = {
  en: 'All human beings are born free and equal in dignity and rights.',
  es: 'Todos los seres humanos nacen libres e iguales en dignidad y derechos.',
  pt: 'Todos os seres humanos nascem livres e iguais em dignidade e em direitos.',
  ar: 'يولد جميع الناس أحراراً متساوين في الكرامة والحقوق.',
  hi: 'सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।',
  fr: 'Tous les êtres humains naissent libres et égaux en dignité et en droits.',
  ru: 'Все люди рождаются свободными и равными в своем достоинстве и правах.',
  de: 'Alle Menschen sind frei und gleich an Würde und Rechten geboren.',
  ja: 'すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。',
  it: 'Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti.',
  bn: 'সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা এবং অধিকার নিয়ে জন্মগ্রহণ করে।',
  uk: 'Всі люди народжуються вільними і рівними у своїй гідності та правах.',
  th: 'มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ',
  ur: 'تمام انسان آزاد اور حقوق و عزت کے اعتبار سے برابر پیدا ہوئے ہیں۔',
  ta: 'மனிதப் பிறிவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்.',
  te: 'ప్రతిపత్తిస్వత్వముల విషయమున మానవులెల్లరును జన్మతః స్వతంత్రులును సమానులును నగుదురు.',
  bg: 'Всички хора се раждат свободни и равни по достойнство и права.',
  ko: '모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.',
  pl: 'Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.',
  he: 'כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.',
  fa: 'تمام افراد بشر آزاد به دنیا می‌آیند و از لحاظ حیثیت و حقوق با هم برابرند.',
  vi: 'Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền.',
  ne: 'सबै व्यक्तिहरू जन्मजात स्वतन्त्र हुन् ती सबैको समान अधिकार र महत्व छ।',
  sw: 'Watu wote wamezaliwa huru, hadhi na haki zao ni sawa.',
  kn: 'ಎಲ್ಲಾ ಮಾನವರೂ ಸ್ವತಂತ್ರರಾಗಿಯೇ ಜನಿಸಿದ್ದಾರೆ.',
  mr: 'सर्व मानवी व्यक्ति जन्मतः स्वतंत्र आहेत व त्यांना समान प्रतिष्ठा व समान अधिकार आहेत.',
  gu: 'પ્રતિષ્ઠા અને અધિકારોની દૃષ્ટિએ સર્વ માનવો જન્મથી સ્વતંત્ર અને સમાન હોય છે.',
  pa: 'ਸਾਰਾ ਮਨੁੱਖੀ ਪਰਿਵਾਰ ਆਪਣੀ ਮਹਿਮਾ, ਸ਼ਾਨ ਅਤੇ ਹੱਕਾਂ ਦੇ ਪੱਖੋਂ ਜਨਮ ਤੋਂ ਹੀ ਆਜ਼ਾਦ ਹੈ.',
  ml: 'മനുഷ്യരെല്ലാവരും തുല്യാവകാശങ്ങളോടും അന്തസ്സോടും സ്വാതന്ത്ര്യത്തോടുംകൂടി ജനിച്ചവരാണ്.',
  fi: 'Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan.',
}

test.each(Object.entries(samples))('%s', (language, text) => {
  expect(detectLanguage(text)).toBe(language)
  expect(detectLanguage(`${text} https://example.org/en/the-english-page someone@example.org`)).toBe(language)
})

test('English in capitals, and what tells no language', () => {
  expect(
    detectLanguage('THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG, AND THEN IT GOES HOME TO SLEEP FOR THE WHOLE DAY.'),
  ).toBe('en')
  for (const text of ['', ' ', '123', '!?', '😀']) expect(detectLanguage(text)).toBeUndefined()
  expect(knownLanguages()).toHaveLength(53)
})

test('the same text always has the same language', () => {
  const found = new Set(Array.from({ length: 20 }, () => detectLanguage('Hotel')))
  expect(found.size).toBe(1)
})
