"""The words around a name: titles, kin, roles, greetings, degrees; and what follows a name that is none of a person."""

import re

WORD = re.compile(r"(?<![\w@./\\'’-])(?:[A-ZÀ-Þ]\.(?:-?[A-Z]\.){0,3}|(?!I(?!\w)"
                  r"|I['’])[A-ZÀ-Þ][^\W_]{0,30}(?:['’-][^\W_]{1,30}){0,3}(?!_))(?![@\\]|\.\w|/\w)")
PARTICLE = (r"(?:van der|van den|van de|von der|de la|de las|de los|de|del|della|di|da|dos|das|du|la|le|van|von"
            r"|bin|ibn|al|el|ter|ten|y|e|st\.?)")
SPACE = re.compile(rf" (?:{PARTICLE} )?| ?['’] ?")
SUFFIX = {"jr", "sr", "ii", "iii", "iv"}
PARTICLES = re.compile(rf"(?<![\w.]){PARTICLE} $", re.IGNORECASE)
PARTICLE_ENDS = {word.strip("(?:)").split(" ")[-1].removesuffix("\\.") for word in PARTICLE.split("|")} | {"st."}
STRICT = (r"Mrs?|Mister|Missus|Ms|Mx|Miss|Drs?|Prof|Professor|Madame|Mme|Monsieur|Herr|Frau|Señora?|Sra?|Sir|Lady"
          r"|Dame|Lord|Hon|Rev|Reverend|Pastor|Rabbi|Imam|Fr|Sgt|Sergeant"
          r"|Cpl|Capt|Captain|Lt|Lieutenant|Col|Colonel|Gen|Major|Maj|Officer|Deputy|Detective|Det|Constable|Coach"
          r"|Judge|Justice|Senator|Mayor|Councill?or|Attorney|Msgr|Uncle"
          r"|Aunt(?:ie|y)?|Auntie|Grandma|Grandpa|Granny|Nana|Cousin|Nurse|Sister|Brother|Matron|Doctor|Midwife"
          r"|Chaplain|Principal|Sheriff|Trooper|Paramedic|Chief|President|Inspector")
TITLE = re.compile(rf"(?<![\w.])(?:{STRICT})(?:\.|(?<![a-z])\.)? (?:and (?:{STRICT})\.? )?$", re.IGNORECASE)
TITLES = frozenset(re.sub(r"\([^)]*\)|\?", "", STRICT).lower().split("|")) | {"mr", "mrs", "dr", "drs", "auntie",
    "aunty"}
SOFT = re.compile(r"(?:Nurse|Sister|Brother|Doctor|Officer|Coach|Judge|Principal|Chief|Sir|Lady|Major|General"
                  r"|President|Justice|Lord|Fr|Col|Uncle|Aunt|Hon|Cousin|Mayor|Det|Gen|Inspector|Midwife|Captain"
                  r"|Attorney|Paramedic|Chaplain|Matron|Professor|Imam|Rabbi|Pastor)\.? $", re.IGNORECASE)
KIN = (r"husband|wife|spouse|partner|sons?|daughters?|mother|father|moms?|mum|dad|brothers?|sisters?|(?:step"
       r"|half-?|foster |god)?(?:son|daughter|mother|father|mom|dad|brother|sister|parents?|child)"
       r"|grand(?:son|daughter|mother|father|ma|pa|child|parents?|kids?)|aunt|uncle|cousin|niece|nephew"
       r"|fianc[eé]e?|boyfriend|girlfriend|(?:best )?friend|neighbou?r|room ?mate|caregiver|caretaker|carer"
       r"|guardian|twins?|(?:twin )?(?:brother|sister)|baby|infant|newborn|boss|co-?worker|colleague|landlord"
       r"|landlady|class ?mate|team ?mate|house ?mate|(?:mother|father|sister|brother|son|daughter)-in-law"
       r"|ex-(?:wife|husband)"
       r"|widow(?:er)?|kids?|child(?:ren)?|parents?|siblings?|relative|next of kin|nok|poa|proxy|emergency contact"
       r"|contact|dog walker|companion|sponsor|surrogate|baby (?:boy|girl)|girl|boy|lady|man|woman|named insured")
ROLE = (r"nurse|doctor|(?:clinical |hospital )?pharmacist|therapist|physiotherapist|interpreter|translator|surgeon"
        r"|attending|resident|intern|fellow|midwife|doula|diet[ic]+ian|nutritionist|social worker|case ?worker"
        r"|case manager|counsell?or|paramedic|emt|officer|technician|tech|hygienist|chaplain|coach|lawyer|attorney"
        r"|supervisor|manager|foreman|employer|physician|provider|practitioner|np|pa|rn|lpn|cna|pcp|gp|specialist"
        r"|[a-z]{4,20}(?:ologist|iatrist|iatrician)|dentist|optometrist|optician|coordinator|clerk|receptionist"
        r"|secretary|informant|witness|driver|detective|deputy|sergeant|captain|judge|consultant|scribe|scrub"
        r"|circulator"
        r"|assistant|an(?:a?)esthetist|student|aide|teacher|tutor|instructor|trainer|babysitter|nanny|volunteer"
        r"|registrar|locum|house officer|sho|charge nurse|hospitalist|intensivist|internist|client|patient|pt"
        r"|preceptor"
        r"|operator|dispatcher|sitter|orderly|priest|pastor|minister|author|transcriptionist|phlebotomist"
        r"|radiographer|sonographer|anesthesia|surgery|referring|requesting|ordering|prescriber|referrer|author"
        r"|editor|reporter")
NEXT_TO = re.compile(
    rf"(?:\b(?:{KIN}|{ROLE})(?:,? (?:is |was )?(?:named|called) | is | was |,? \(? ?| ?: ?|, (?:the |an? )?| \("
    rf"|['’]s name(?: is|:)? |s,? |: ?(?:dr\.?|mrs?\.?|ms\.?) ?|\t|\|)"
    r"|\b(?:nick)?name(?:d|s)?(?: of)?(?: is| was|['’]s)?[ :]{1,2}|\b(?:called|nicknamed|alias|aka|a\.k\.a\."
    r"|goes by|known as|answers to|legal name is|maiden name(?: is)?|formerly|n[eé]e|signature|initials?) ?:? "
    r"|\b(?:signed(?: off)?(?: by)?|dictated by|reviewed by|written by|prepared by|authored by|completed by"
    r"|verified by|entered by|seen by|referred by|accompanied by|witnessed by|performed by|administered by"
    r"|scribed by|"
    r"ordered by|requested by|approved by|interpreted by|read by|supervised by|cared for by|followed by"
    r"|brought in by|raised by|escorted by|assisted by|consented by|taken by|given by|checked by|taught by)[:,]? ?"
    r"|\b(?:ask(?:ed|ing)? for|sp(?:oke|eak|oken|eaking) (?:with|to)|talk(?:ed|ing)? (?:with|to)|met(?: with)?"
    r"|meet(?:ing)?(?: with)?|discussed with|d/w|attn|attention|dear|hi|hello|hey|my name is|name's|i['’]m|i am"
    r"|this is|it['’]s"
    r"|contact(?:ed)?|phoned|called|texted|paged|emailed|notified|informed|thanked|visited|married(?: to)?"
    r"|lives with|living with|c/o|cc|attn|care of|yours truly|respectfully|good (?:morning|afternoon|evening)"
    r"|morning|thank you|thanks|congratulations|welcome|bye|goodbye|nice to (?:meet|see) you|take care|how are you"
    r"|yes|no|okay|ok|well|sorry|per|re|from|to|by|pt|both|between|with|and his|beside|behalf of"
    r"|for),? ?:? )(?:dr\.? |mrs?\.? |ms\.? |miss |nurse )?$")         # of lower case
NEXT_MORE = re.compile(
    r"\b(?:(?:assessed|examined|reported|checked|inserted|removed|sutured|explained|translated|booked|arranged"
    r"|authori[sz]ed|issued"
    r"|dispensed|transcribed|typed|advised|driven|recorded|noted|counter-?signed|operated on|filed|submitted|raised"
    r"|collected|covered"
    r"|chaperoned|handed over|looked after|opened|viewed|accessed|edited|logged|updated|cancelled|actioned|initialled"
    r"|vetted|dropped off"
    r"|delivered|scanned|repaired|closed|anaesthetised|reported to|seen) by"
    r"|w/r|p\.?p\.?|s/b|r/v(?: by)?|d/w|p/c to|t/c (?:to|from|with)|call from|message from|email from|letter from"
    r"|note from|rang|bleeped|bleep"
    # of lower case
    r"|remind(?:ed)?|user|login|logged in as|hiya|salaam|namaste|on behalf of|obo|courtesy of|chaperone:?|escort:?"
    r"|signed for|under) $")
MORE_ENDS = ("by ", "w/r ", "pp ", "p.p. ", "s/b ", "r/v ", "d/w ", " to ", " from ", " with ", "rang ", "bleeped ",
    "bleep ", "remind ", "reminded ",
             "user ", "login ", " as ", "hiya ", "salaam ", "namaste ", "behalf of ", "obo ", "courtesy of ",
             "chaperone ", "chaperone: ", "escort ",
             "escort: ", "signed for ", "under ")
FIELD = re.compile(r"(?:^|[\n|;,\t(]|\. ) ?(?:(?:pt|patient|client|full|first|last|given|family|sur|middle|maiden"
                   r"|legal|preferred|mother['’]?s?|father['’]?s?|physician|provider|doctor|guardian|parent"
                   r"|contact|insured|subscriber|member"
                   r"|emergency contact|next of kin|resident|attending|surgeon|author|signed|signature|nurse|rn"
                   r"|employer|employer name|guarantor|cc|re|from|to|attn|name|mother|father|spouse|husband|wife"
                   r"|son|daughter|informant|witness"
                   r"|interpreter|pcp|gp|consultant|dictated by|referring (?:physician|provider|doctor|md)"
                   r"|primary care (?:physician|provider)|anesthesia|anesthesiologist|scrub|assistant|caregiver"
                   r"|responsible party|beneficiary|radiologist|"
                   r"pathologist|cardiologist|teacher|school nurse|social worker|case manager|pharmacist"
                   r"|prescriber|reviewer|approved by|verified by|technologist|sonographer|attending physician"
                   r"|ordering provider|surname|forename|signed by) ?"
                   r"){1,3}(?:(?:name|\(s\)|names)?[:=|#] {0,3}"
                   r"|(?<=name )(?:of (?:the )?(?:patient|client|resident) ?)?(?:[-–—] |: ) {0,2})"
                   r"(?:Dr\.? |Mrs?\.? |Ms\.? |Prof\.? )?$", re.IGNORECASE)
SPEAKER = re.compile(r"(?:^|\n)\W{0,2}(?:patient|doctor|nurse|mother|father|guest_family|guest_clinician|clinician"
                     r"|physician|speaker|dr|provider|pt|wife|husband|daughter|son|parent|mom|dad|q|a)\]?:? $",
                     re.IGNORECASE)
CLOSING = re.compile(r"(?:sincerely|regards|wishes|truly|faithfully|respectfully|thanks|thank you|cheers|best|love"
                     r"|gratefully|cordially|many thanks|signed|appreciation|yours"
                     r"|care)[,.!]? ?\n{1,3}[ \t]*(?:Dr\.? |Mrs?\.? |Ms\.? |Mr\.? |Prof\.? |Nurse )?$",
                     re.IGNORECASE)
DEGREE = re.compile(r",? ?\(?(?:M\.?D\.?|R\.?N\.?|P\.?A\.?(?:-C)?|N\.?P\.?|D\.?O\.?|LPN|LVN|D\.?D\.?S\.?|DMD"
                    r"|Ph\.?D\.?|Pharm\.?D\.?|LCSW|LMSW|RPh|CNM|CRNA|FNP(?:-BC|-C)?|ARNP|APRN|DNP|DPT|DPM"
                    r"|OTR(?:/L)?|PT|OT|SLP|MSW|BSN|MSN|FACS|FACP"
                    r"|FACC|FRCP|FRCS|MBBS|MRCP|MRCGP|PGY-?\d|CNA|CMA|RT|RD|EMT(?:-P)?|MPH|OD|MS[34]|CCC-SLP|LMFT"
                    r"|PsyD|CDE|RDN)\b(?!-?\d)")
RELATIVE = re.compile(rf"['’]s (?:(?:late|older|younger|elderly|new|own|eldest|adult|former) )?(?:{KIN}|room|chart"
                      rf"|blood|mri|ct|labs?|results?|parents|family|home|house|record|condition|symptoms"
                      rf"|medications?|care|office|appointment|note|"
                      r"clinic|team|nurse|doctor|surgery|pain|father|insurance|recommendations?|school|progress)\b",
                      re.IGNORECASE)
VERB = re.compile(r",? (?:is|was|has|had|will|says|said|reports?|reported|states|stated|denies|denied|complains"
                  r"|presents|presented|came|comes|lives|works|took|takes|called|phoned|went|wants|asked|told|felt"
                  r"|feels|agreed|agrees|missed|who|"
                  r"arrived|gave|fell|and (?:his|her|i)|does|did|can|could|would|may|should|reached|tolerated"
                  r"|underwent|died|returned|needs|been|consented|documented|noted|thinks|notes|admits|continues"
                  r"|remains|saw|seen|drove|brought|caught|"
                  r"signed|refused|uses|suffers|smokes|drinks|appears|looks|seems|knows|recommended|performed"
                  r"|examined|and I)\b")
EPONYM = re.compile(r"(?:['’]s?)?(?:[ -](?:(?:and|&|de|van|von|der|la"
                    r"|le) ){0,2}[A-Z][\w'’-]{1,20}){0,3}[ -](?:[a-z-]{1,20} )?(?:disease|syndromes?"
                    r"|signs?(?! (?:as|for|the"
                    r"|off|in|on|a|her|his)\b)|tests?|scores?"
                    r"|scales?|criteria|cells?|bod(?:y|ies)|tumou?rs?|lymphoma|sarcoma|palsy|paralysis|chorea"
                    r"|ataxia|reflex|maneuver"
                    r"|manoeuvre|procedure|operation|repair|catheter|tube|stain|staining|method|classification"
                    r"|grade|grading|staging|stage|index|fractures?|deformity|contracture|phenomenon|triad|law"
                    r"|virus|fever|exercises?|ligament|tendon|duct|gland"
                    r"|nodes?|patch(?:es)?|ulcer|hernia|point|line|lines|sinus|canal|capsule|loop|thyroiditis"
                    r"|struma|oesophagus|esophagus|granulomatosis|nephritis|anemia|anaemia|dystrophy|atrophy"
                    r"|myopathy|neuropathy|disorder|malformation|deficiency|incision"
                    r"|clamp|forceps|retractor|drain|needle|pump|brace|collar|position|pouch|shunt|valve|monitor"
                    r"|protocol|regimen|questionnaire|inventory|equation|formula|estimates?|curves?|survival"
                    r"|models?|rats?|mice|mouse|strain|agar|medium|solution"
                    r"|lactate|bandage|cast|splint|boot|wires?|pins?|rods?|nails?|plates?|spots?|nodules?|lines"
                    r"|rings?|plaques?|lesions?|tremor|seizures?|epilepsy|encephalopathy|dementia|psychosis"
                    r"|aphasia|amaurosis|murmur|respiration|breathing|pulse"
                    r"|arthropathy|arthritis|purpura|vasculitis|aortitis|gangrene|angina|block|bundle|fib(?:er"
                    r"|re)s?|crisis|facies|habitus|readings?|correlation|regression|test|u test|t test|trial|study"
                    r"|studies|technique|approach|view|views|probe|device|diet"
                    r"|oscillations?|contractions?|hallux|flap|graft|osteotomy|resection|anastomosis|lens|chart"
                    r"|plot|coma|hydrocephalus|nerve|muscle|fascia|space|fossa|foramen|membrane|layer|corpuscles?"
                    r"|bacill\w+|bacterium|antigen|antibod\w+|agglutination|positivity|factor"
                    r"|gene|variant|mutation|translocation|chromosomes?|haplotype|blood group|melanoma|carcinoma"
                    r"|adenoma|cysts?|polyps?|tuberculosis|leprosy|dysplasia|anomaly|complex|association|sequence"
                    r"|spectrum|type|positive|negative|media|starling|hysterectomy|section|forms?|kinase|cycle"
                    r"|apparatus|pathway|phenotype|tears?|levels?|wort|congenital|lists?|medicine|juice|gel|leaf)\b"
                    r"|(?:['’]s)? (?:Disease|Syndrome|Sign|Test|Score|Scale|Criteria|Virus|Palsy|Lymphoma|Sarcoma"
                    r"|Tumor|Disorder|Deficiency|Anemia|Ataxia|Dystrophy|Coma|Questionnaire|Index|Inventory"
                    r"|Institute|Foundation|Study|Trial|Cancer)\b")
CITATION = re.compile(r",? (?:et al|and colleagues|& colleagues)\b|(?: (?:and|&) [A-Z][\w'’-]{1,30})?,? ?[(\[]?(?:19"
                      r"|20)\d\d[a-z]?\b|(?: [A-Z]{1,2}\b,?){1,2} (?:et al|\(?(?:19|20)\d\d)")
FIRM_CUE = re.compile(r"\b(?:work(?:s|ed|ing)?|job|employ(?:ed|ee|er|ment)|cashier|cooks|bakes|serves|bartends"
                      r"|driver|manager|foreman|welder|mechanic|clerk|janitor|nurse|teacher|cook|waitress|waiter"
                      r"|bookkeeper|accountant|engineer|intern|apprentice|shifts?|nights|hired|retired|contractor"
                      r"|packer|laborer|labourer|operator|"
                      r"technician|position|career|guard|salesman|sales|custodian|plumber|electrician|assistant"
                      r"|machinist|supervisor|loader|picker|cleaner|roofer|secretary|receptionist|laid off|fired"
                      r"|promoted|dispatcher|dishwasher|cleans|drives|delivers|baker|barista|butcher|fitter"
                      r"|stocker|courier|partner|owner|secretary)"
                      r"(?: \w+){0,4}? (?:at|for|with|by|from) (?:the )?$|\b(?:employer|company|firm|occupation"
                      r"|place of work|workplace)(?: (?:is|was|name))?:? ?$")     # of lower case
FIRM_BEFORE = ("at ", "for ", "with ", "by ", "from ", "the ", ":", ": ", *(
    f"{word}{end}" for end in ("", " ")
    for word in ("employer", "company", "firm", "occupation", "work", "workplace", "is", "was", "name")))
FIRM_END = (r"(?:Inc|LLC|L\.L\.C|Ltd|Limited|Corp|Corporation|Company|Co|GmbH|PLC|LLP|Industries|Logistics|Paving"
            r"|Construction|Plumbing|Roofing|Trucking|Motors|Manufacturing|Landscaping|Enterprises|Holdings"
            r"|Freight|Steel|Consulting|Builders|Contractors"
            r"|Contracting|Masonry|Welding|Machining|Packaging|Textiles|Electronics|Airlines|Shipping|Haulage"
            r"|Couriers?|Cleaning|Accounting|Realty|Catering|Upholstery|Carpentry|Electrical|Foundry|Lumber"
            r"|Poultry|Meats|Produce|Tooling|Staffing|Transport|Removals"
            r"|Brewing|Brewery|Printing|Press|Engineering|Solutions|Systems|Technologies|Media|Bank|& Sons?"
            r"|and Sons|& Co|Brothers|Bros)")
FIRM_WORDS = {one for word in re.findall("[A-Z][A-Za-z]*", FIRM_END) for one in (word, word.removesuffix("s"))}
FIRM = re.compile(rf"(?<![\w'’])(?:[A-ZÀ-Þ][\w'’-]{{0,30}}(?: (?:&|and|of) | )){{1,4}}{FIRM_END}\b\.?")
PUBLIC = re.compile(r"Hospital|Clinic|School|University|College|Center|Centre|Medical|Health|Nursing|Pharmacy"
                    r"|Street|Avenue|Road|County|District|Airport|Park\b|Mall\b")
FIRM_RUN = re.compile(r"[A-ZÀ-Þ][\w'’-]{0,30}(?:(?: (?:& |and |of )?|-)[A-ZÀ-Þ][\w'’-]{0,30}){0,4}")
INITIALS = re.compile(r"(?<![\w.])[A-Z]\.-?[A-Z]\.(?:[A-Z]\.)?(?![\w])")
NO_INITIALS = {"U.S.", "U.K.", "E.R.", "I.V.", "I.M.", "P.O.", "M.D.", "D.O.", "R.N.", "N.P.", "P.A.", "P.M.", "A.M.",
    "E.D.", "O.R.", "I.Q.", "T.B.", "B.P.", "P.T.", "O.T.", "D.C.", "L.A.", "G.P.", "G.I.", "C.T.", "E.U.", "I.D.",
    "S.C.", "P.R.N.", "B.I.D.",
               "T.I.D.", "Q.I.D.", "N.P.O.", "D.O.B.", "M.R.I.", "I.C.U.", "U.S.A.", "H.I.V.", "M.S.", "O.D.", "O.S.",
               "O.U.", "E.N.T.", "P.C.P.", "C.P.R.", "S.O.B.", "T.V.", "N.S.", "A.D.", "B.C.", "Q.D.", "P.S.", "V.A.",
               "V.S.", "J.V.", "R.R.", "H.R.", "D.V.T.",
               "E.G.", "I.E.", "E.M.T.", "L.P.N.", "D.D.S.", "I.U.", "Q.H.S.", "H.S.", "M.I.", "P.E.", "C.C.",
               "E.C.G.", "E.K.G.", "N.H.S.", "M.B.", "B.S.", "P.H.D.", "A.C.", "P.C.", "U.N."}
INITIALS_CUE = re.compile(r"\b(?:patient|pt|mrs?|ms|dr|initials(?: are| is)?|signed|by|named|called|known as|baby"
                          r"|client|resident|subject|child|identified as|husband|wife|son|daughter|mother|father"
                          r"|name|attending|nurse|friend|brother|sister)[.:,]? ?\(?$", re.IGNORECASE)
BARE_INITIALS = re.compile(r"\b(?i:initials|signed|initialed|initialled)(?i: by| as)?[: ]{1,2}([A-Z]{2,3})\b"
                           r"|\b(?:Pt|Patient|Mr\.?|Mrs\.?|Ms\.?) ([A-Z]{2}|[A-Z]\.?)(?= (?:is|was|has|presents"
                           r"|returns|reports|denies|seen|came))")
BARE_WORDS = {"initials", "signed", "initialed", "initialled", "pt", "patient", "mr", "mrs", "ms"}
LOWER_TITLES = {"mr", "mrs", "ms", "miss", "dr", "doctor", "nurse", "prof", "professor", "uncle", "aunt", "auntie",
    "coach", "sister", "officer", "cousin", "sgt", "rev", "pastor"}
LOWER_TITLE = re.compile(rf"\b({'|'.join(sorted(LOWER_TITLES))})\b\.? ([a-z][a-z'’-]{{1,20}})"
                         r"(?: ([a-z][a-z'’-]{1,20}))?")
LOWER_CUE = re.compile(rf"\b((?:my|his|her|their|our|the|your|pt['’]?s"
                       rf"|patient['’]?s) (?:\w+ )?(?:{KIN}),?(?: is)?(?: named| called)?|hi|hello|hey|dear"
                       rf"|i['’]?m|my name is|name is|name['’]?s|named|called|thanks|thank you|this is|ask for"
                       rf"|speak (?:to|with)|spoke (?:to|with)|good morning|morning) ([a-z]{{3,15}})"
                       r"(?: ([a-z]{3,15}))?\b")                   # of lower case
SIGN_OFF = {"cheers", "thanks", "thx", "ta", "regards", "best", "love", "kr", "bw", "rgds", "wishes", "yours"}
LOWER_SIGN = re.compile(rf"\b(?:{'|'.join(sorted(SIGN_OFF))})(?:[,.!]{{1,2}}| ?[-–—]"
                        rf"|(?=\n)) {{0,2}}\n?([a-z]{{3,15}})(?: ([a-z]{{3,15}}))?"
                        r"(?: ?\([a-z ,/]{2,25}\)| x{1,3})?[.!]?[ \t]{0,3}(?=\n|\Z)")
LOWER_HERE = re.compile(r"\b(?:it['’]?s|this is|hi|hello|hey|hiya) ([a-z]{3,15}) (?:here|speaking|calling|again)\b")
HERE_WORDS = {"it", "its", "this", "hi", "hello", "hey", "hiya"}
SIGNED_INLINE = re.compile(r"\b(?:cheers|thanks|thank you|thx|regards|best|best wishes|kr|bw|rgds|yours"
                           r"|sincerely)(?:[,.!]| ?[-–—]) $", re.IGNORECASE)
ENDS_LETTER = re.compile(r"(?: ?\([^)\n]{2,30}\)|, [^\n.]{2,40})?[.!]?[ \t]{0,3}(?=\n|\Z)")
NUMBERED = re.compile(r" \d{1,3}(?:/\d{1,3}(?![\d/])|%|\b(?![-/.:]|\d| ?(?:y|m\b|f\b)))")
CELLS = {";", "; ", "|", " | ", "\t"}
CELL_END = re.compile(r" ?(?:[|;\t]|DOB\b|d\.?o\.?b\b|\(?\d{1,2}[/.-]\d|\((?:[MF]\b|\d)|[-–] )")
LOWER_STARTS = {"my", "his", "her", "their", "our", "the", "your", "pt", "pts", "patient", "patients", "hi", "hello",
    "hey", "dear", "i", "im", "name", "names", "named", "called", "thanks", "thank", "this", "ask", "speak", "spoke",
                "good", "morning"}
NO_SURNAME = re.compile(r"(?:s|ed|ing|ly|tion|gram|graphy|scan|able|al|ful|ment|ness|ic)$")
NEVER_LOWER = {"will", "may", "said", "hope", "per", "else", "min", "rich", "guy", "van", "urban", "summer", "ward",
    "mark", "grant", "long", "case", "price", "art", "sun", "do", "he", "does", "can", "has", "had", "was", "is",
    "got", "and", "drew", "rob", "sue", "chase", "bail",
               "sage", "ray", "max", "patience", "asked", "faith", "grace", "honor", "joy", "dawn", "august", "april",
               "june", "wade", "lane", "miles", "early", "gene", "iris", "ginger", "basil", "love", "best",
               "good", "low", "young", "little", "mercy", "sandy", "violet", "olive"}
STOP_TITLE = {"a", "an", "the", "and", "or", "of", "in", "on", "to", "for", "who", "what", "when", "where", "why",
    "how", "this", "that", "these", "those", "your", "you", "i", "we", "he", "she", "it", "they", "my", "our", "his",
    "her", "their", "is", "was", "are", "has", "had",
              "please", "will", "said", "told", "do", "did", "does", "can", "could", "would", "should", "if", "but",
              "so", "as", "at", "by", "from", "with", "not", "no", "yes", "mr", "mrs", "ms", "dr", "miss", "doctor",
              "nurse", "patient", "hello", "hi", "thanks", "visit", "visits",
              "note", "notes", "name", "office", "appointment", "assistant", "practitioner", "manager", "there",
              "then", "also", "all", "any", "after", "before", "because", "have", "okay", "ok", "well", "oh", "um",
              "uh", "yeah", "good", "thank", "right", "let", "just", "sorry", "me",
              "in-law", "ed", "er", "icu", "md", "rn", "station", "call", "triage", "exam", "instructions", "orders",
              "specialist", "care", "services", "line", "recommended", "prescribed", "advised", "gave", "came",
              "asked", "says", "see", "about", "again", "today", "yesterday"}

LIGHT = {"known as", "formerly", "alias", "aka", "a.k.a.", "née", "with", "for", "per", "re", "from", "to", "by",
         "and his", "it's", "it’s", "no", "yes", "okay", "ok", "well", "this is", "thanks", "between", "both",
         "contact", "pa", "np", "surgery", "called", "patient", "pt", "i'm", "i am", "i’m", "sorry", "visited",
         "under", "user", "remind", "rang", "delivered by", "provider", "anesthesia", "welcome", "take care", "met",
         "man", "woman", "lady", "client", "doctor",
         "nurse", "intern", "resident", "officer", "fellow", "operator", "author", "specialist", "tech",
         "reporter", "editor", "followed by", "given by", "raised by", "taken by", "parents", "children",
         "children,"}
PLACE_BEFORE = re.compile(r"\b(?:in|to|from|near|at|of|around|outside|the) $", re.IGNORECASE)
PERSONS_VERB = re.compile(r" (?:den(?:ies|ied)|says|said|complain(?:s|ed)|lives|lived|phoned|refuse[sd]|thinks"
                          r"|asks|asked|agree[sd]|consented|wants|told|smokes|drinks|works|drove|died|cried"
                          r"|missed her|missed his|tolerated the|is a \d|was born|lost (?:his|her)|forgot|signs (?:as"
                          r"|for|on)|rang|rings|texted|e-?mailed|drives"
                          r"|(?:brought|brings|collected|accompanied) (?:her|him|them|the patient|me)|c/o|still (?:in"
                          r"|at|lives|works|drives)"
                          r"|no longer (?:matched|matches|lives|works|drives|wants)|will (?:call|ring|book|chase"
                          r"|bring|drive|collect|phone|text|e-?mail|sign)"
                          r"|attended with|DNA['’]?d|did not attend|cancelled (?:her|his|the|again)|declined (?:the"
                          r"|to|all|a )"
                          r"|(?:is|was) (?:off sick|unwell|worried|keen|tearful|upset|distressed|pleasant"
                          r"|very pleasant|a (?:lovely|pleasant|delightful|retired|widowed))"
                          r"|had a fall|retired|sleeps|cooks|speaks|enjoys|loves|cried|holds (?:poa|lpa|the)"
                          r"|gave (?:her|his|verbal) "
                          r"|['’]s (?:son|daughter|wife|husband|mother|father|mum|mom|dad|brother|sister|partner"
                          r"|niece|nephew|carer)"
                          r"|(?:in|from|at) (?:the )?(?:billing|reception|front desk|accounts|pharmacy"
                          r"|medical records|scheduling|triage|hr|payroll|admissions"
                          r"|switchboard|finance|physio|the lab|transport|bed management|coding|x-ray)\b"
                          r"|remembers|wonders|worries|hopes)\b")
MONTHS = {"may", "april", "june", "august", "summer", "autumn", "sunday"}
LABEL = re.compile(r"\b(?:pt|patient|re|name)[: ]+$", re.IGNORECASE)
LOWER_WORD = re.compile(r" [a-z]")
CAPITAL = re.compile(r" [A-Z]")
BEFORE_LETTER = re.compile(r"\b(?:vitamin|hepatitis|type|group|grade|stage|class|influenza|plan|factor|protein"
                           r"|phase|ward"
                           r"|room|bed|unit|category|apolipoprotein|schedule|part|strep|figure|table|appendix|level"
                           r"|arm) $", re.IGNORECASE)
