"""The label words that give a number or code its kind."""

# Label words by kind, the more telling kinds first. "!" before one: a code may follow without "number", "#" or ":".
LABELS: dict[str, tuple[str, ...]] = {
    "social security number": (
        r"!ssn", r"!ss ?(?=#|no\b|num)", r"!soc(?:ial)?\.? ?sec(?:urity)?(?: card)?",
        r"!last (?:four|4)(?: digits)?(?: of)?(?: (?:the|her|his|my|their|your|patient['’]s))? (?:social|ssn|ss)",
        r"social(?= ?(?:[:#]|is|ending|number|no\b))", r"!itin", r"!national insurance", r"!nino", r"!ni(?= (?:number"
            r"|no\b))", r"!social insurance",
        r"sin(?= ?(?:[:#]|number|no\b|\d))", r"!pps(?:n| ?(?=number|no\b))"),
    "vehicle": (
        r"!vin", r"!vehicle (?:identification|id)", r"!(?:licen[cs]e|number|registration|reg|car|vehicle|truck"
            r"|trailer)[ -](?:plates?|tags?)",
        r"!plates?", r"tags?(?= (?:number|no\b|#|is|reads))", r"!(?:car|vehicle|motorcycle|truck|van|bus|taxi|cab"
            r"|boat|ambulance)"
        r" (?:reg(?:istration)?\.?|licen[cs]e|tag)", r"!reg\.", r"!reg(?:istration)?(?= ?(?:no\b|number|#|plate))",
        r"!hull", r"!tail", r"!rego", r"!regn\.? plate", r"!chassis", r"!fleet", r"scooter", r"motor(?:bike|cycle)",
        r"bike",
        r"moped", r"minivan", r"van", r"sedan", r"hatchback", r"car", r"truck", r"lorry", r"ute", r"suv",
        r"pick-?up", r"taxi", r"cab",
        r"auto(?:rickshaw)?", r"ambulance", r"trailer", r"caravan", r"tractor", r"jeep", r"motor ?home"),
    "biometric": tuple(
        rf"!(?:{who})(?: \w+){{0,2}}?,? (?:templates?|scans?|codes?|records?|ids?|profiles?|signatures?|hash"
        rf"|files?|patterns?|keys?|tokens?"
        r"|reference|vectors?|embeddings?|enrol+ments?|entry|minutiae|samples?(?: id)?|recording|image)" for who in (
            r"finger ?prints?|thumb ?prints?|palm(?: ?prints?| veins?)?|iris|retinal?|voice ?prints?|voice|speaker"
            r"|gait|faces?|facial|face ?print"
            r"|hand(?: geometry)?|biometrics?|dna|genetic|ear|veins?|finger|thumb|handprint|footprint|keystroke"
            r"|eye",)) + (
        r"!finger ?prints?", r"!thumb ?prints?", r"!palm ?prints?", r"!voice ?prints?", r"!iris", r"!biometrics?",
        r"!face ?print", r"!retina(?:l scan)?",
        r"!footprints?", r"!iriscode", r"!faceid"),
    "device": (
        r"!serial", r"!ser(?= ?(?:#|no\b))", r"!s/n", r"sn", r"!udi(?:-[dp]i)?", r"!imei", r"!imsi", r"!iccid",
        r"!mac", r"!asset", r"!device",
        r"!implants?", r"!equipment", r"!inventory", r"!(?:bio)?med tag", r"!machine", r"pacemaker", r"icd(?! ?-?\d)",
        r"insulin pump", r"pump", r"meter",
        r"ventilator", r"monitor", r"stimulator", r"transmitter", r"sensor", r"generator", r"leads?", r"prosthesis",
        r"hearing aids?", r"unit serial",
        r"!uid(?= ?(?:[:#]|no\b))", r"!sno", r"!eid", r"!esn", r"!meid", r"!unit s/n", r"!loan(?:er)? (?:unit|device"
            r"|item|kit)",
        r"controller", r"nebuli[sz]er", r"wheel ?chair", r"stairlift", r"lift", r"hoist", r"oximeter",
        r"gluco(?:meter|se meter)",
        r"bipap", r"vad", r"lvad", r"crt-?[dp]", r"valve", r"stent", r"graft", r"mesh", r"cochlear implant",
        r"processor", r"holter",
        r"walker", r"mattress", r"reader", r"receiver", r"syringe driver", r"driver", r"cuff", r"watch", r"phone",
        r"laptop",
        r"telemetry(?: box| unit)?", r"box", r"dialy[sz]er", r"machine", r"scanner", r"probe", r"tens unit",
        r"implanted device",
        r"electrode", r"battery", r"tracker", r"pendant", r"alarm", r"stimulator", r"expander", r"iol", r"lens",
        r"concentrator", r"cpap", r"defibrillator", r"loop recorder", r"handset", r"tablet"),
    "licence number": (
        r"!(?:driv(?:er['’]?s?|ers|ing) |medical |nursing |state |pharmacy |rn |md |pilot['’]?s? |professional "
        r"|board |commercial |fishing |gun "
        r"|firearm |hunting )?licen[cs]es?", r"!lic", r"!certificates?", r"!certification", r"!cert",
        r"!dea(?: reg\w*)?", r"!npi", r"!gmc", r"!nmc",
        r"!gdc", r"!gphc", r"!hcpc", r"!upin", r"!cdl", r"!dl", r"!ahpra", r"!caqh", r"nurse pin", r"!bar card",
        r"!(?:hpcsa|sanc|mcrn|imc|mci|nmi|nmbi|cpso|cno|pmdc|mdcn|kmc|tnmc|mmc|dmc|goc|ghsc|rcvs|mcnz"
        r"|nbi|psi|coru|college|board|council|medical council|nursing council|state medical council|licensure)"
        r" (?:reg(?:istration|n|d|\.)?|pin|lic\w*)", r"!(?:hpcsa|sanc|mcrn|nmbi|cpso|pmdc|mdcn|coru|mcnz|clia|ptan"
                                                     r"|rpn|hpr)",
        r"!pin", r"!(?:pre?scriber|provider|practitioner)(?= (?:no\b|number|id\b|code|#))",
        r"!practi[sc]e licen[cs]e", r"!registrant",
        r"!(?:doctor|physician|nurse|pharmacist|midwife)['’]?s? (?:reg(?:istration|n|\.)?|licen[cs]e|id|pin)"),
    "health plan number": (
        r"!member(?:ship)?", r"!subscriber", r"!polic(?:y|ies)", r"group", r"!medicare(?: (?:part [a-d]"
            r"|beneficiary|advantage|claim))?", r"!medicaid",
        r"!medi-?cal", r"!tricare", r"!champus", r"!insurance(?: (?:card|policy|plan|member|id))?", r"!insurer",
        r"!(?:health )?(?:plan )?beneficiary",
        r"!health ?(?:plan|care|card)(?: card)?", r"plan", r"!h[mp][po]", r"!mbi", r"!hicn?", r"!enrollee",
        r"!enrol+ment", r"!pharmacy card",
        r"!(?:blue cross|blue shield|bcbs|aetna|cigna|humana|kaiser|united ?healthcare|anthem|bupa|ehic|ghic|ohip"
        r"|wellcare|molina|centene|axa)"
        r"(?: \w+){0,2}", r"coverage", r"!eligibility", r"dental plan", r"!payer", r"!certificate of coverage",
        r"!rx ?(?:bin|pcn|grp|group)",
        r"!hcn", r"!phn", r"!ramq", r"!msp", r"!ahcip", r"!mhsc", r"!hin", r"!grp", r"!dva", r"!irn", r"!esic?",
        r"!cghs", r"!pm-?jay",
        r"!ayushman", r"!echs", r"!tpa", r"!medical aid", r"!medical scheme", r"!scheme", r"!gms", r"!vhi", r"!laya",
        r"!hcf",
        r"!nib", r"!medibank", r"!concession card", r"!pension(?:er)? card", r"!medical card", r"!provincial health",
        r"!(?:health|healthcare|hospital|medical|dental|vision|private|secondary|primary|supplemental"
        r"|supplementary) (?:insurance|insurer"
        r"|cover|fund)(?: card)?", r"!insured(?: id)?", r"!fund", r"!nhif", r"!philhealth", r"!ihi", r"!star health",
        r"!mediclaim",
        r"!dependent", r"!contract", r"cover"),
    "account number": (
        r"!accounts?", r"!acct\.?", r"!a/c", r"!acc(?= ?(?:#|no\b))", r"billing", r"!guarantor", r"!invoice", r"!iban",
        r"!bic", r"!swift", r"bank",
        r"!(?:credit|debit|bank|payment|gift|charge|visa|master)[ -]?cards?", r"!cards? (?:ending|on file|number"
            r"|no\b)", r"!visa", r"!mastercard",
        r"!amex", r"!american express", r"!discover", r"!hsa", r"!fsa", r"!checking", r"!savings", r"!routing",
        r"!sort code", r"!payment plan",
        r"bill", r"!ledger", r"balance", r"!paypal", r"!autopay", r"!direct debit",
        r"!bsb", r"!upi", r"!ifsc", r"!micr", r"!transit", r"!statement", r"!customer", r"!client account",
        r"!patient account",
        r"!remittance", r"!payer account", r"!charge account", r"!rupay", r"!interac", r"!eftpos", r"!giro",
        r"!payee", r"!pan(?= ?(?:[:#]|no\b))",
        r"!(?:billing|financial|hospital|finance|deposit|debtor) (?:account|acct\.?|a/c|ref(?:erence)?)", r"!debtor",
        r"!receivable"),
    "record number": (
        r"!mrns?", r"!m\.r\.n\.?", r"!mr(?= ?(?:#|no\b|num))", r"!medical record",
            r"!med(?:ical)?\.? ?rec(?:ord)?s?\.?", r"!health record", r"record",
        r"!chart", r"hospital", r"!patient(?: (?:id|identifier|identification|file|record|account|no\b|number|#))",
        r"!pt\.? (?:id|no|num)", r"!nhs", r"!encounter",
        r"!visit", r"unit", r"!chi", r"!csn", r"!fin", r"!har", r"!pid", r"!hosp", r"!emr", r"!ehr", r"!episode",
        r"!case ?notes?", r"!admission",
        r"!mpi", r"!empi", r"!epic", r"!urn", r"!umrn", r"!hn", r"file", r"!folder",
        r"!ur(?:n| ?no)?", r"!u\.r\.", r"!uhid", r"!mrd", r"!cr(?= ?(?:no\b|number|#))", r"!ip(?=[ .]?(?:no\b|number"
            r"|#|d\b))", r"!opd?(?=[ .]?(?:no\b|number|#))",
        r"!ipd?(?=[ .]?(?:no\b|number|#))", r"!folio", r"!hospital folio", r"!enc", r"!nhi", r"!h&c", r"!hcr",
        r"!abha", r"!unit record", r"!unit(?= (?:no\b|number|#))",
        r"!hospital(?= (?:no\b|number|#|id))", r"!(?:clinic|ward|dental|dialysis|registry|outpatient|inpatient) (?:no\b"
                                           r"|number|id|ref\w*|record)",
        r"!acute no", r"!pas", r"!pmi", r"!rio", r"!k no", r"!district", r"!crn", r"!mpi", r"!registration(?= (?:no\b"
            r"|number))", r"!adm(?= ?(?:#|no\b))",
        r"!notes", r"!(?:old|paper|case) (?:notes|records?|chart|folder)", r"!health no", r"!emergency (?:no\b"
            r"|number)", r"!stay", r"!attendance",
        r"!ed no", r"!a&e no", r"!mr/no", r"!account/mrn", r"!clinic(?= ?#)", r"!local id", r"!medical id",
        r"!patient ref\w*", r"!pt ref\w*", r"!pt(?= ?#)",
        r"!hospital record", r"!hosp\.? (?:no|num)", r"!nmr", r"!dossier", r"!patient index"),
    "other number": (
        r"!study", r"!subj(?:ect)?", r"!(?:coroner['’]?s? )?(?:case|court|police|tax|personnel|immigration|legal"
                                     r"|litigation|social work|visa|probate|custody)"
        r" (?:file|folder|record)", r"!ptcpt?", r"!enrolment id", r"!incident", r"!datix", r"!inc(?= ?(?:#|no\b))",
        r"!complaint", r"!aadhaar", r"!aadhar",
        r"!pan card", r"!tfn", r"!uan", r"!ration card", r"!voucher", r"!ward of court", r"!cad", r"!crime (?:ref\w*"
            r"|no\b|number)", r"!warrant", r"!workcover",
        r"!acc(?= claim)", r"!wcb", r"!wsib", r"!icbc", r"!consignment", r"!courier", r"!e-?script", r"!e-?referral",
        r"!ers", r"!ubrn", r"!centrelink", r"!ndis",
        r"!my ?gov", r"!residence permit", r"!brp", r"!home office", r"!refugee", r"!unhcr", r"!work permit",
        r"!health & care", r"!swab", r"!aliquot", r"!cohort id",
        r"!trial(?= (?:no\b|number|id|#))", r"!screen(?= ?(?:no\b|#))",
        r"!rand(?:\.|omi[sz]ation)?(?= ?(?:no\b|#|code))", r"!cassette", r"!requestor", r"!order", r"!pnr",
        r"!offender",
        r"!prison", r"!nomis", r"!roll", r"!employee", r"!works", r"!clock", r"!force", r"!regiment(?:al)?",
        r"!service", r"!unit dose", r"!fill", r"!dispens\w+", r"!participant", r"!samples?", r"!specimens?",
        r"!accession", r"!claims?",
        r"!prescription", r"!script", r"!rx",
        r"!passport", r"!case", r"!inmate", r"!prisoner", r"!student", r"!service", r"!jobs?", r"!barcode",
        r"!bar code", r"!tube", r"!booking",
        r"!ticket", r"!confirmation", r"!ref(?:erence)?\.?", r"!docket", r"!randomi[sz]ation", r"!screening",
        r"!badge", r"!employee", r"!staff",
        r"!personnel", r"!payroll", r"!donor", r"!donation", r"!order", r"!requisition", r"!req", r"!tracking",
        r"!incident", r"!police report",
        r"report", r"!permit", r"!authorization", r"!auth", r"!prior auth", r"!referral", r"!matriculation",
        r"!military", r"!biobank", r"!slide",
        r"!block", r"!lab", r"!dictation", r"!transcription", r"!transaction", r"!national id", r"!identity card",
        r"!id card", r"!alien", r"!visa",
        r"!green card", r"!tax", r"!tin", r"!ein", r"!voter", r"!library card", r"!locker", r"!vial", r"!plate id",
        r"!shipment", r"!parcel", r"!receipt",
        r"!complaint", r"!court", r"!warrant", r"!detainee", r"!jail", r"!army", r"!navy", r"!veteran", r"!va file",
        r"!bed tag", r"!wristband",
        r"!bracelet", r"!worklist", r"!exam", r"!scan", r"!bag", r"!register", r"!pathology", r"!path", r"!surgical",
        r"!autopsy",
        r"!coroner(?:['’]s)?", r"!batch id", r"!enquiry", r"!proband", r"!pedigree", r"!kit", r"!id", r"!identifier"),
}
