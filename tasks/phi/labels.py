"""The label words that give a number or code its kind."""

# Label words by kind, the more telling kinds first. "!" before one: a code may follow without "number", "#" or ":".
LABELS: dict[str, tuple[str, ...]] = {
    "social security number": (
        r"!ssn", r"!ss ?(?=#|no\b|num)", r"!soc(?:ial)?\.? ?sec(?:urity)?(?: card)?",
        r"!last (?:four|4)(?: digits)?(?: of)?(?: (?:the|her|his|my|their|your|patient['’]s))? (?:social|ssn|ss)",
        r"social(?= ?(?:[:#]|is|ending|number|no\b))", r"!itin", r"!national insurance", r"!ni (?=number|no\b)"),
    "vehicle": (
        r"!vin", r"!vehicle (?:identification|id)", r"!(?:licen[cs]e|number|registration|reg|car|vehicle|truck"
            r"|trailer)[ -](?:plates?|tags?)",
        r"!plates?", r"tags?(?= (?:number|no\b|#|is|reads))", r"!(?:car|vehicle|motorcycle|truck|van|bus|taxi|cab"
            r"|boat|ambulance)"
        r" (?:reg(?:istration)?\.?|licen[cs]e|tag)", r"!reg\.", r"!reg(?:istration)?(?= ?(?:no\b|number|#|plate))",
        r"!hull", r"!tail"),
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
        r"(?:insulin )?pump", r"meter",
        r"ventilator", r"monitor", r"stimulator", r"transmitter", r"sensor", r"generator", r"leads?", r"prosthesis",
        r"hearing aids?", r"unit serial",
        r"concentrator", r"cpap", r"defibrillator", r"loop recorder", r"handset", r"tablet"),
    "licence number": (
        r"!(?:driv(?:er['’]?s?|ers|ing) |medical |nursing |state |pharmacy |rn |md |pilot['’]?s? |professional "
        r"|board |commercial |fishing |gun "
        r"|firearm |hunting )?licen[cs]es?", r"!lic", r"!certificates?", r"!certification", r"!cert",
        r"!dea(?: reg\w*)?", r"!npi", r"!gmc", r"!nmc",
        r"!gdc", r"!gphc", r"!hcpc", r"!upin", r"!cdl", r"!dl", r"!ahpra", r"!caqh", r"nurse pin", r"!bar card"),
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
        r"!rx ?(?:bin|pcn|grp|group)"),
    "account number": (
        r"!accounts?", r"!acct\.?", r"!a/c", r"!acc(?= ?(?:#|no\b))", r"billing", r"!guarantor", r"!invoice", r"!iban",
        r"!bic", r"!swift", r"bank",
        r"!(?:credit|debit|bank|payment|gift|charge|visa|master)[ -]?cards?", r"!cards? (?:ending|on file|number"
            r"|no\b)", r"!visa", r"!mastercard",
        r"!amex", r"!american express", r"!discover", r"!hsa", r"!fsa", r"!checking", r"!savings", r"!routing",
        r"!sort code", r"!payment plan",
        r"bill", r"!ledger", r"balance", r"!paypal", r"!autopay", r"!direct debit"),
    "record number": (
        r"!mrns?", r"!m\.r\.n\.?", r"!mr(?= ?(?:#|no\b|num))", r"!medical record",
            r"!med(?:ical)?\.? ?rec(?:ord)?s?\.?", r"!health record", r"record",
        r"!chart", r"hospital", r"!patient(?: (?:id|identifier|identification|file|record|account|no\b|number|#))",
        r"!pt\.? (?:id|no|num)", r"!nhs", r"!encounter",
        r"!visit", r"unit", r"!chi", r"!csn", r"!fin", r"!har", r"!pid", r"!hosp", r"!emr", r"!ehr", r"!episode",
        r"!case ?notes?", r"!admission",
        r"!mpi", r"!empi", r"!epic", r"!urn", r"!umrn", r"!hn", r"(?:paper |old )?file", r"!folder"),
    "other number": (
        r"!study", r"!subject", r"!participant", r"!samples?", r"!specimens?", r"!accession", r"!claims?",
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
