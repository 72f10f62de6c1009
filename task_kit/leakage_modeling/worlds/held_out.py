"""Families of stories kept for evaluation: nothing that was trained or tuned on the others has met their words."""

from __future__ import annotations

from typing import Final

from task_kit.leakage_modeling.worlds.family import Family
from task_kit.leakage_modeling.worlds.timeline import Event

FIELDS = Family(
    name="fields",
    case="field",
    cases="fields",
    outcome="whether the harvest of the field stayed below the plan",
    ended="stayed below the plan",
    events=(
        Event("the soil sample", "the soil sample is drawn"),
        Event("the sowing", "the seed is in the ground"),
        Event("the emergence", "the first leaves show"),
        Event("the spraying", "the field is sprayed"),
        Event("the flowering", "the crop is in flower"),
        Event("the harvest", "the harvest is brought in"),
        Event("the settlement", "the cooperative has settled the accounts"),
    ),
    amounts=(
        ("rent lease", "yearly rent of the field, in euros"),
        ("seed_cost seed_price", "price of the seed, in euros"),
        ("subsidy grant_sum", "subsidy that was applied for, in euros"),
    ),
    indices=(
        ("slope tilt", "index of the slope"),
        ("clay heaviness", "index of how heavy the soil is"),
        ("depth topsoil", "index of the depth of the topsoil"),
        ("shade shelter", "index of shade"),
    ),
    cycles=(
        ("hour drill_hour", "hour of the day for which the machine was ordered", 24),
        ("aspect bearing", "month of the year of the last liming, 0 to 11", 12),
    ),
    low=(("crop variety", "what is grown"), ("tillage method", "how the soil is worked")),
    high=(("parcel_zone zone", "the zone of the map"), ("machine_id rig", "the machine that is used")),
    group=("farm holding", "farms may have several fields; the ones to be scored are all new to us"),
    month=("season_no campaign", "month of the campaign, counted from the start of the records"),
    signals={
        "index": (
            ("green leaf_idx", "greenness seen by the satellite, as an index"),
            ("moisture wet_idx", "moisture of the ground, as an index"),
            ("pests trap_idx", "index of what was found in the traps"),
        ),
        "amount": (
            ("diesel fuel", "fuel that was burnt, in euros"),
            ("hours_paid labour", "wages that were paid, in euros"),
        ),
        "count": (
            ("passes n_passes", "number of passes of the tractor"),
            ("showers rain_days", "number of days with rain"),
            ("walks inspections", "number of inspections on foot"),
        ),
        "share": (
            ("zone_share neighbour_rate", "share of {cases} in the same zone that {ended}"),
            ("cover ground_cover", "share of the ground that is covered"),
        ),
        "flag": (
            ("fenced fence_flag", "whether game was seen in the field, 0 or 1"),
            ("claim claim_flag", "whether a form for the insurance lies in the folder, 0 or 1"),
        ),
        "grade": (
            ("advice advisor_class", "class, copied from the table of the advisers"),
            ("trim stand_class", "class of how the stand looks"),
        ),
    },
)

COURSES = Family(
    name="courses",
    case="enrolment",
    cases="enrolments",
    outcome="whether the student failed the course",
    ended="ended in a fail",
    events=(
        Event("the enrolment", "the student enrols"),
        Event("the placement test", "the placement test is marked"),
        Event("the opening lecture", "the lectures begin"),
        Event("the first assignment", "the first assignment is handed in"),
        Event("the mid-term", "the mid-term is written"),
        Event("the final examination", "the final examination is written"),
        Event("the board meeting", "the board has met"),
    ),
    amounts=(
        ("tuition fee_due", "fee of the course, in euros"),
        ("stipend bursary", "bursary, in euros"),
        ("books book_cost", "cost of the books on the list, in euros"),
    ),
    indices=(
        ("school_idx prior", "standardised mark of the school leaving certificate"),
        ("commute travel", "index of the way to the campus"),
        ("workload hours_idx", "index of other courses taken"),
        ("reading pace", "index of the reading test at school"),
    ),
    cycles=(
        ("hour session", "hour of the day of the tutorial", 24),
        ("weekday tutorial_day", "day of the week of the tutorial, 0 to 6", 7),
    ),
    low=(("faculty field_of_study", "the faculty"), ("mode format", "how the course is taken")),
    high=(("tutor tutor_no", "the tutor in charge"), ("school school_no", "the school that was attended before")),
    group=("residence hall", "halls house several students; the ones to be scored are all new to us"),
    month=("term_month intake", "month of the enrolment, counted from the start of the records"),
    signals={
        "index": (
            ("effort effort_idx", "effort as the tutor sees it, as an index"),
            ("worry worry_pts", "worry, in points of the questionnaire"),
            ("activity forum_idx", "index of activity in the forum"),
        ),
        "amount": (
            ("arrears fines", "library fines, in euros"),
            ("prints copy_cost", "copies that were paid for, in euros"),
        ),
        "count": (
            ("absences n_missed", "number of sessions that were missed"),
            ("uploads n_uploads", "number of uploads"),
            ("mails n_mails", "number of mails to the tutor"),
        ),
        "share": (
            ("tutor_share group_rate", "share of {cases} with the same tutor that {ended}"),
            ("watched video_share", "share of the recordings that were watched"),
        ),
        "flag": (
            ("advised advice_flag", "whether a talk with the adviser is noted, 0 or 1"),
            ("repeats repeat_flag", "whether a form for a second attempt is on file, 0 or 1"),
        ),
        "grade": (
            ("cluster set_class", "class, copied from the table of the registrar"),
            ("stream level_group", "group that the student was put into"),
        ),
    },
)

REPAIRS = Family(
    name="repairs",
    case="repair",
    cases="repairs",
    outcome="whether the machine broke down again",
    ended="did not last",
    events=(
        Event("the fault report", "the fault is reported"),
        Event("the inspection", "the machine is inspected"),
        Event("the delivery of the parts", "the parts are delivered"),
        Event("the repair", "the repair is done"),
        Event("the trial run", "the trial run is over"),
        Event("the sign-off", "the owner signs off"),
        Event("the service visit", "the service visit has taken place"),
    ),
    amounts=(
        ("list_price new_price", "price of the machine when new, in euros"),
        ("quote estimate", "upper limit that the owner set, in euros"),
        ("contract_sum retainer", "yearly sum of the service contract, in euros"),
    ),
    indices=(
        ("wear age_idx", "standardised age of the machine"),
        ("dust dirt_idx", "index of dust in the hall"),
        ("duty run_idx", "index of hours in use a week"),
        ("noise db_idx", "index of noise as the owner describes it"),
    ),
    cycles=(
        ("hour report_hour", "hour of the day at which the fault showed", 24),
        ("weekday fault_day", "day of the week on which the fault showed, 0 to 6", 7),
    ),
    low=(("series model_line", "the series of the machine"), ("drive power", "how the machine is driven")),
    high=(("site plant", "the site"), ("part_no part", "the part that is named in the report")),
    group=("owner owner_no", "owners may have several machines; the ones to be scored are all new to us"),
    month=("month job_month", "month of the fault report, counted from the start of the records"),
    signals={
        "index": (
            ("vibration shake_idx", "vibration, as an index"),
            ("heat temp_idx", "temperature of the bearing, as an index"),
            ("play slack", "play of the shaft, in points"),
        ),
        "amount": (
            ("material parts_cost", "material that was booked, in euros"),
            ("overtime extra_pay", "overtime that was paid, in euros"),
        ),
        "count": (
            ("alarms n_alarms", "number of alarms of the machine"),
            ("trips n_trips", "number of trips of the mechanic"),
            ("restarts n_starts", "number of restarts"),
        ),
        "share": (
            ("site_share plant_rate", "share of {cases} at the same site that {ended}"),
            ("idle stop_share", "share of the time that the machine stood still"),
        ),
        "flag": (
            ("sealed seal_flag", "whether a seal is broken, 0 or 1"),
            ("escalated call_flag", "whether the maker was called, 0 or 1"),
        ),
        "grade": (
            ("fault_class code", "class of the fault, copied from the maker's table"),
            ("crew team", "crew that is written on the card"),
        ),
    },
)

HELD_OUT: Final = (FIELDS, COURSES, REPAIRS)
