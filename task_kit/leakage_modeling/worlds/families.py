"""The families of stories that worlds are drawn from by default."""

from __future__ import annotations

from typing import Final

from task_kit.leakage_modeling.worlds.family import Family
from task_kit.leakage_modeling.worlds.timeline import Event

LOANS = Family(
    name="loans",
    case="loan",
    cases="loans",
    outcome="whether the loan fell into arrears within its first year",
    ended="fell into arrears",
    events=(
        Event("the application", "the application comes in"),
        Event("the interview", "the applicant is interviewed"),
        Event("the credit check", "the credit check is returned"),
        Event("the contract", "the contract is signed"),
        Event("the payout", "the money is paid out"),
        Event("the first instalment", "the first instalment falls due"),
        Event("the annual review", "the year is closed"),
    ),
    amounts=(
        ("amount sum_asked principal", "sum that was asked for, in euros"),
        ("income earnings", "yearly income as stated by the applicant, in euros"),
        ("savings deposits", "balance of the applicant's savings, in euros"),
    ),
    indices=(
        ("age_idx seniority", "standardised length of the time as a customer"),
        ("usage credit_use", "share of the credit line in use, in points"),
        ("enquiries lookups", "index of enquiries at other lenders"),
        ("burden debt_idx", "index of other debts"),
    ),
    cycles=(
        ("hour hr_received", "hour of the day at which the form was filled in", 24),
        ("weekday dow", "day of the week of the form, 0 to 6", 7),
    ),
    low=(("channel route", "how the customer reached us"), ("purpose use_of_loan", "what the loan is for")),
    high=(("branch office", "the office in charge"), ("postcode district", "where the applicant lives")),
    group=("household home_id", "households may take several loans; the ones to be scored are all new to us"),
    month=("month book_month", "month in which the application came in, counted from the start of the records"),
    signals={
        "index": (
            ("contact_idx desk_idx", "index of the contacts with the service desk"),
            ("stress tension", "score of the strain on the account"),
            ("rating grade_pts", "points that the clerk gave"),
        ),
        "amount": (
            ("fees charges", "fees that were booked on the account, in euros"),
            ("overdraft shortfall", "largest overdraft of the account, in euros"),
        ),
        "count": (
            ("calls n_calls", "number of calls that were made to the customer"),
            ("letters mailings", "number of letters that were sent"),
            ("visits n_visits", "number of visits to the counter"),
        ),
        "share": (
            ("branch_share office_rate", "share of {cases} of the same office that {ended}"),
            ("drawn drawn_share", "share of the limit that was drawn"),
        ),
        "flag": (
            ("dunned flag_notice", "whether a notice stands on the account, 0 or 1"),
            ("queried flag_query", "whether a colleague queried the file, 0 or 1"),
        ),
        "grade": (
            ("file_code status_code", "status code, copied from the collections table"),
            ("desk_class handling", "class of the desk that had the file"),
        ),
    },
)

SUBSCRIBERS = Family(
    name="subscribers",
    case="contract",
    cases="contracts",
    outcome="whether the subscriber left",
    ended="were given up",
    events=(
        Event("the offer", "the offer is sent out"),
        Event("the order", "the order arrives"),
        Event("the activation", "the line is activated"),
        Event("the first bill", "the first bill is issued"),
        Event("the survey", "the survey is answered"),
        Event("the end of the term", "the minimum term runs out"),
    ),
    amounts=(
        ("spend billed_before", "average bill of the year before, in euros"),
        ("device_value handset", "list price of the device, in euros"),
        ("discount rebate", "rebate that was granted, in euros"),
    ),
    indices=(
        ("tenure tenure_idx", "standardised time since the first contract"),
        ("traffic data_idx", "index of data used in the year before"),
        ("coverage signal_idx", "index of reception at the home address"),
        ("distance shop_km", "index of the way to the next shop"),
    ),
    cycles=(
        ("hour order_hour", "hour of the day at which the shop was entered", 24),
        ("season month_no", "month of the year of birth, 0 to 11", 12),
    ),
    low=(("plan tariff", "the tariff"), ("brand label", "the brand under which it was sold")),
    high=(("shop outlet", "the shop that sold the contract"), ("cell mast", "the mast nearest to the home")),
    group=("account account_no", "accounts may hold several lines; the ones to be scored are all new to us"),
    month=("period cohort", "month of the offer, counted from the start of the records"),
    signals={
        "index": (
            ("traffic_idx volume", "index of the data that was used"),
            ("mood temper", "tone of the messages to the help desk, as an index"),
            ("roaming abroad_idx", "index of use abroad"),
        ),
        "amount": (
            ("topup extras", "extras that were bought, in euros"),
            ("credit goodwill", "goodwill credits, in euros"),
        ),
        "count": (
            ("tickets n_tickets", "number of tickets at the help desk"),
            ("logins visits", "number of logins to the portal"),
            ("outages drops", "number of calls that broke off"),
        ),
        "share": (
            ("shop_share outlet_rate", "share of {cases} of the same shop that {ended}"),
            ("idle idle_share", "share of days without any use"),
        ),
        "flag": (
            ("porting port_flag", "whether a form for taking the number along was looked at, 0 or 1"),
            ("autopay debit_flag", "whether the direct debit is in force, 0 or 1"),
        ),
        "grade": (
            ("segment band", "segment, copied from the table of the marketing team"),
            ("queue line_class", "queue that the contract was handled in"),
        ),
    },
)

PARCELS = Family(
    name="parcels",
    case="shipment",
    cases="shipments",
    outcome="whether the shipment arrived too late",
    ended="arrived too late",
    events=(
        Event("the booking", "the transport is booked"),
        Event("the pick-up", "the goods are picked up"),
        Event("the customs check", "customs have cleared the goods"),
        Event("the loading", "the container is loaded"),
        Event("the crossing", "the ship puts to sea"),
        Event("the unloading", "the container is unloaded"),
        Event("the handing over", "the goods are handed over"),
    ),
    amounts=(
        ("declared_value worth", "value on the customs form, in euros"),
        ("freight price", "price of the transport, in euros"),
        ("insured cover", "sum insured, in euros"),
    ),
    indices=(
        ("distance haul", "index of the distance"),
        ("load depot_load", "index of how full the depot was"),
        ("weight mass_idx", "index of the weight"),
        ("bulk volume_idx", "index of the space it takes"),
    ),
    cycles=(
        ("hour slot", "hour of the day for which the lorry was ordered", 24),
        ("weekday day_of_week", "day of the week for which the lorry was ordered, 0 to 6", 7),
    ),
    low=(("service product", "the service that was booked"), ("packing wrap", "how the goods are packed")),
    high=(("depot hub", "the depot in charge"), ("port harbour", "the port of destination")),
    group=("sender shipper", "senders may send several shipments; the ones to be scored are all new to us"),
    month=("month_no quarter_month", "month of the booking, counted from the start of the records"),
    signals={
        "index": (
            ("gap scan_gap", "index of the time between scans"),
            ("swell sea_idx", "index of the state of the sea"),
            ("backlog pile", "index of what was waiting at the depot"),
        ),
        "amount": (
            ("surcharge extra_cost", "surcharges, in euros"),
            ("storage demurrage", "cost of storage, in euros"),
        ),
        "count": (
            ("scans n_scans", "number of scans"),
            ("queries messages", "number of questions by the receiver"),
            ("moves handlings", "number of times it was moved"),
        ),
        "share": (
            ("hub_share depot_rate", "share of {cases} of the same depot that {ended}"),
            ("filled fill_share", "share of the container that was filled"),
        ),
        "flag": (
            ("held hold_flag", "whether a hold was on the papers, 0 or 1"),
            ("swapped swap_flag", "whether the carrier was changed, 0 or 1"),
        ),
        "grade": (
            ("lane lane_code", "lane, copied from the carrier's table"),
            ("priority urgency", "class of urgency"),
        ),
    },
)

PATIENTS = Family(
    name="patients",
    case="stay",
    cases="stays",
    outcome="whether the patient was admitted again within the season",
    ended="led to another admission",
    events=(
        Event("the referral", "the letter of referral is read"),
        Event("the admission", "the patient is admitted"),
        Event("the operation", "the operation is over"),
        Event("the ward round", "the ward round has taken place"),
        Event("the discharge", "the patient is discharged"),
        Event("the follow-up", "the follow-up is held"),
        Event("the closing of the file", "the file is closed"),
    ),
    amounts=(
        ("deductible own_share", "yearly deductible, in euros"),
        ("past_costs earlier_costs", "costs of the year before, in euros"),
        ("premium contribution", "yearly premium, in euros"),
    ),
    indices=(
        ("age_idx years", "standardised age"),
        ("frailty reserve", "index of frailty from the letter"),
        ("pressure bp_idx", "index of blood pressure at home"),
        ("distance way_idx", "index of the way to the clinic"),
    ),
    cycles=(
        ("hour call_hour", "hour of the day at which the practice called", 24),
        ("birth_month month", "month of the year of birth, 0 to 11", 12),
    ),
    low=(("insurer payer", "kind of insurance"), ("urgency intake", "how the patient was referred")),
    high=(("practice doctor", "the practice that referred"), ("street quarter", "where the patient lives")),
    group=("family_id kin", "families may have several stays; the ones to be scored are all new to us"),
    month=("month intake_month", "month of the referral, counted from the start of the records"),
    signals={
        "index": (
            ("marker lab_idx", "marker of inflammation, as an index"),
            ("pain pain_pts", "pain, in points"),
            ("mobility steps_idx", "index of how far the patient walks"),
        ),
        "amount": (
            ("drugs drug_cost", "cost of drugs, in euros"),
            ("aids aid_cost", "cost of aids, in euros"),
        ),
        "count": (
            ("visits n_consults", "number of consultations"),
            ("tests n_tests", "number of laboratory tests"),
            ("calls n_calls", "number of calls to the nurse"),
        ),
        "share": (
            ("peer_share practice_rate", "share of {cases} from the same practice that {ended}"),
            ("rest bed_share", "share of the day spent in bed"),
        ),
        "flag": (
            ("alarm alarm_flag", "whether the file bears a warning, 0 or 1"),
            ("plan_flag care_plan", "whether there is a plan of care, 0 or 1"),
        ),
        "grade": (
            ("pathway track", "pathway, copied from the table of the planning office"),
            ("acuity level", "level of care"),
        ),
    },
)
SEEN: Final = (LOANS, SUBSCRIBERS, PARCELS, PATIENTS)
